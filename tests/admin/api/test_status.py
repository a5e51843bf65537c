"""Status by API."""

import httpx

from gateway.domain.evidence import PersonRecord
from gateway.ports.store import MailDevice, Writing
from tests.support.control import Control


async def test_how_the_gateway_stands(api: httpx.AsyncClient, control: Control) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_mail_device(MailDevice("ann@corp.example", "abc1", 1.0, 2.0))

    await control.store.write(work)
    control.records["ann@corp.example"] = PersonRecord("ann@corp.example", known=True)
    await api.post("/bans", json={"name": "TikTok", "matchers": [{"value": "android:a.b"}], "flag": "enforce"})
    status = (await api.get("/status")).json()
    assert status["ready"] is True
    assert status["policy"]["number"] == 2
    assert status["policy"]["enforced_bans"] == ["TikTok"]
    assert status["fleet"] == {
        "devices": 1,
        "complete": True,
        "clean": 0,
        "dirty": 0,
        "refused": 0,
        "exempt": 0,
        "unjudged": 1,
        "unjudged_by_cause": {"unmatched": 1},
    }
    assert status["warnings"] == ["ban TikTok is enforced, yet 1 of 1 devices pass unjudged (unmatched 1)"]
    assert status["gateway"] == {"workers": [{"name": "worker-1", "alive": True}]}
    assert status["stored"]["mail_devices"] == 1


async def test_workers_that_do_not_follow_are_warned_about(api: httpx.AsyncClient, control: Control) -> None:
    control.workers.rows = [
        {"name": "worker-1", "alive": False},
        {"name": "worker-2", "alive": True, "silent": True, "status_age": 7.2},
        {"name": "worker-3", "alive": True, "stale": True, "feed_age": 12.4},
        {"name": "worker-4", "alive": True, "stale": True, "state_lost": True, "feed_age": 912.4},
        {
            "name": "worker-5",
            "alive": True,
            "front": {"upstreams": [{"url": "https://a", "healthy": True}, {"url": "https://b", "healthy": False}]},
        },
    ]
    assert (await api.get("/status")).json()["warnings"] == [
        "worker-1 does not run; it is being restarted",
        "worker-2 hangs: it has said nothing for 7 s",
        "worker-3 judges by what it knew 12 s ago: see its log",
        "worker-4 has known nothing for 912 s and answers what gatepost flag list shows for --unavailable: see its log",
        "worker-5 cannot reach the mail server https://b: see upstream_unavailable in the log",
    ]


async def test_not_ready_says_why(api: httpx.AsyncClient, control: Control) -> None:
    control.is_ready = False
    control.checks = {"workers": {"ok": True, "found": "2 of 2"}, "mail_server": {"ok": False, "found": "0 of 2"}}
    status = (await api.get("/status")).json()
    assert (status["ready"], status["warnings"]) == (False, ["not ready: 0 of 2"])


async def test_what_the_processes_warn_about_is_a_warning_and_no_figure(
    api: httpx.AsyncClient, control: Control
) -> None:
    control.warnings = ["the store cannot be written"]
    status = (await api.get("/status")).json()
    assert status["warnings"] == ["the store cannot be written"]
    assert "warnings" not in status["gateway"]


async def test_the_global_switch_is_warned_about(api: httpx.AsyncClient) -> None:
    await api.put("/flags/global", json={"on": False})
    warnings = (await api.get("/status")).json()["warnings"]
    assert warnings == ["enforcement is switched off globally: everybody has mail"]
