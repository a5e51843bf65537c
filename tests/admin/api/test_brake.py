"""The fleet brake by the API: what is held, and an operator's word on it; ``why`` and ``status`` judge alike."""

from dataclasses import replace

import httpx

from gateway.domain.brake import Brake, Hold, Trouble
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord
from gateway.domain.operator import Role
from gateway.ports.store import MailDevice, Writing
from tests.support.control import NOW, Control
from tests.support.evidence_strategies import DAY, HOUR, seen

USER = "ann@corp.example"
HOLD = Hold("mdm", Trouble.STALE, NOW - 2 * HOUR, 100)
ALARM = Hold("intune", Trouble.HITS, NOW - 60, 40, "TikTok", holding=False)


async def braked(control: Control, *holds: Hold) -> None:
    await control.store.write(lambda writing: writing.put_brake(Brake(NOW + 600, holds)))


async def test_what_is_held_is_shown(control: Control, api: httpx.AsyncClient) -> None:
    assert (await api.get("/brake")).json()["holds"] == []
    await braked(control, HOLD, ALARM)
    answer = (await api.get("/brake")).json()
    names = ("source", "trouble", "ban", "holding", "devices")
    told = [tuple(each[name] for name in names) for each in answer["holds"]]
    assert told == [("mdm", "stale", "", True, 100), ("intune", "hits", "TikTok", False, 40)]
    assert answer["standing_still"] is False
    control.now = NOW + 601
    assert (await api.get("/brake")).json()["standing_still"] is True


async def test_confirming_and_letting_go(control: Control, api: httpx.AsyncClient) -> None:
    await braked(control, HOLD, ALARM)
    confirmed = await api.post("/brake/confirm", json={"source": "mdm", "hours": 2})
    assert confirmed.status_code == 200, confirmed.text
    assert (confirmed.json()["confirmed_by"], confirmed.json()["devices"]) == ("anna", 100)
    answer = await api.post("/brake/release", json={"source": "mdm"})
    assert answer.status_code == 200, answer.text
    shown = (await api.get("/brake")).json()
    assert [each["source"] for each in shown["holds"]] == ["intune"]
    assert [(each["source"], each["trouble"], each["by"]) for each in shown["releases"]] == [("mdm", "stale", "anna")]
    again = await api.post("/brake/release", json={"source": "mdm"})
    assert (again.status_code, again.json()["detail"]) == (
        422,
        "nothing is held of source mdm for stale: gatepost brake status shows what is",
    )


async def test_who_only_looks_does_not_let_go(control: Control) -> None:
    await braked(control, HOLD)
    async with await control.client("vera", exactly=Role.VIEWER) as vera:
        assert (await vera.get("/brake")).status_code == 200
        assert (await vera.post("/brake/release", json={"source": "mdm"})).status_code == 403


async def test_why_and_status_judge_as_the_workers_do(control: Control, api: httpx.AsyncClient) -> None:
    at = NOW - DAY - HOUR
    overdue = replace(seen(age=0.0), generated_at=at, full_at=at)
    device = DeviceEvidence("abc1", BindingState.BOUND, (overdue,))
    control.records[USER] = PersonRecord(USER, True, (USER,), frozenset(), {"abc1": device})

    async def work(writing: Writing) -> None:
        await writing.put_mail_device(MailDevice(USER, "abc1", 1.0, 2.0))

    await control.store.write(work)
    await api.put("/flags/unknowns/stale", json={"setting": "deny"})

    async def refused() -> tuple[str, int]:
        why = (await api.get("/why", params={"user": USER, "device": "abc1"})).json()["answers"][0]
        return why["reason"], (await api.get("/status")).json()["fleet"]["refused"]

    await braked(control, HOLD)
    assert await refused() == ("held", 0)
