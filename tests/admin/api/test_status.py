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


async def test_the_global_switch_is_warned_about(api: httpx.AsyncClient) -> None:
    await api.put("/flags/global", json={"on": False})
    warnings = (await api.get("/status")).json()["warnings"]
    assert warnings == ["enforcement is switched off globally: everybody has mail"]
