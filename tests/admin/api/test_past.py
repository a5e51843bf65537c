"""Why as of a past moment, and who looked at whom, by API."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.domain.inventory import App, DeviceKey, Inventory, Naming, Platform, Scope
from gateway.domain.operator import Role
from gateway.ports.store import MailDevice, Source, StoreUnavailable, Writing
from gateway.storage.memory import MemoryStore
from tests.support.control import NOW, Control

USER = "ann@corp.example"
TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok", "30.1")
FIREFOX = App(Platform.ANDROID, "org.mozilla.firefox")
KEYS = (DeviceKey("login", USER), DeviceKey("user", USER), DeviceKey("eas_device_id", "abc1"), DeviceKey("eas", "abc1"))
HOUR = 3600.0


@pytest.fixture
def control() -> Control:
    control = Control()
    control.store = MemoryStore(now=lambda: control.now)
    return control


def told_at(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def reported(at: float, *apps: App) -> Inventory:
    return Inventory("mdm", "m1", Scope.DEVICE, Naming.IDENTIFIER, at, at, int(at), apps, full_at=at, device_keys=KEYS)


@pytest.fixture
async def story(api: httpx.AsyncClient, control: Control) -> None:
    """TikTok is banned and enforced; the phone has it for two hours, and then no more."""
    dirty, clean = reported(NOW + HOUR, TIKTOK), reported(NOW + 3 * HOUR, FIREFOX)

    async def first(writing: Writing) -> None:
        await writing.put_source(Source("mdm", "push", "*", Scope.DEVICE, 86_400.0))
        await writing.put_mail_device(MailDevice(USER, "abc1", control.now, control.now, "iPhone"))
        await writing.put_inventory(dirty)

    control.now = NOW + HOUR
    await api.post("/bans", json={"name": "TikTok", "matchers": [{"value": f"android:{TIKTOK.id}"}]})
    await control.store.write(first)
    control.now = NOW + 2 * HOUR
    await api.put("/flags/bans/TikTok", json={"flag": "enforce"})
    control.now = NOW + 3 * HOUR
    await control.store.write(lambda writing: writing.put_inventory(clean, before=dirty))
    control.now = NOW + 4 * HOUR


async def asked(api: httpx.AsyncClient, at: float | None, **query: str) -> dict[str, Any]:
    moment = {} if at is None else {"at": told_at(at)}
    answer = await api.get("/why", params={"user": "ann", "device": "abc1", **moment, **query})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_why_then(api: httpx.AsyncClient, story: None) -> None:
    effects = []
    for at in (NOW + 0.5 * HOUR, NOW + 1.5 * HOUR, NOW + 2.5 * HOUR, NOW + 3.5 * HOUR):
        told = await asked(api, at)
        (answer,) = told["answers"]
        assert datetime.fromisoformat(told["at"]).timestamp() == at
        effects.append((told["policy"]["number"], answer["effect"], answer["ban"] or answer["would"]["ban"]))
    assert effects == [(1, "allow", ""), (2, "allow", "TikTok"), (3, "deny", "TikTok"), (3, "allow", "")]
    then = await asked(api, NOW + 2.5 * HOUR)
    (answer,) = then["answers"]
    assert (answer["evidence_age_seconds"], answer["app"]["id"]) == (1.5 * HOUR, TIKTOK.id)
    assert (answer["evidence"][0]["stale_at"], answer["flag_set_by"]["number"]) == ("2023-11-15T23:13:20Z", 3)
    assert then["kept_since"] is not None
    now = await asked(api, None)
    assert (now["kept_since"], now["answers"][0]["effect"]) == (None, "allow")


async def test_then_by_another_policy(api: httpx.AsyncClient, story: None) -> None:
    """What if yesterday's phone were judged as today."""
    told = await asked(api, NOW + 1.5 * HOUR, policy="3")
    assert (told["what_if"], told["answers"][0]["effect"]) == (True, "deny")


async def test_moments_of_which_nothing_is_known(api: httpx.AsyncClient, control: Control, story: None) -> None:
    for at, status, words in (
        (control.now + 60, 422, "that moment lies ahead"),
        (NOW - 60, 404, "there was no policy yet"),
    ):
        answer = await api.get("/why", params={"user": "ann", "at": told_at(at)})
        assert (answer.status_code, answer.json()["detail"].partition(":")[0].partition(" at ")[0]) == (status, words)
    await control.store.write(lambda writing: writing.forget_past(NOW + 2 * HOUR, 100))
    gone = await api.get("/why", params={"user": "ann", "at": told_at(NOW + HOUR)})
    assert gone.status_code == 422
    assert "before 2023-11-15T00:13:20Z is not known any more: [inventory] history_days" in gone.json()["detail"]
    assert (await asked(api, NOW + 2.5 * HOUR))["answers"][0]["effect"] == "deny"
    assert (await api.get("/why", params={"user": "ann", "at": "2023-11-15T00:00:00"})).status_code == 422


# --- who looked


async def viewed(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    entries = (await api.get("/audit/entries", params={"user": "ann"})).json()["entries"]
    return [each["entry"] for each in entries if each["entry"]["kind"] == "person_viewed"]


async def test_looks_at_a_person_are_audited(api: httpx.AsyncClient, story: None) -> None:
    await asked(api, None, reason="ticket 1")
    await asked(api, NOW + 2.5 * HOUR)
    await api.get("/devices/ann", params={"reason": "ticket 2"})
    await api.get("/devices/ann/abc1")
    found = await viewed(api)
    assert [each["details"] for each in found] == [
        {"what": "why", "reason": "ticket 1"},
        {"what": "why", "as_of": "2023-11-15T00:43:20.000000Z"},
        {"what": "devices", "reason": "ticket 2"},
        {"what": "device"},
    ]
    assert {each["actor"] for each in found} == {"anna"}
    assert ["device" in each["subjects"][0] for each in found] == [True, True, False, True]


async def test_a_list_of_apps_takes_a_reason(api: httpx.AsyncClient, control: Control, story: None) -> None:
    refused = await api.get("/apps/ann")
    assert (refused.status_code, "give a reason" in refused.json()["detail"]) == (422, True)
    assert await viewed(api) == []
    told = (await api.get("/apps/ann", params={"reason": "ticket 3"})).json()
    assert [[app["id"] for app in each["apps"]] for each in told["lists"]] == [[FIREFOX.id]]
    then = {"reason": "ticket 3", "at": told_at(NOW + 2.5 * HOUR), "device": "ABC1"}
    told = (await api.get("/apps/ann", params=then)).json()
    assert [[app["id"] for app in each["apps"]] for each in told["lists"]] == [[TIKTOK.id]]
    assert [each["details"]["reason"] for each in await viewed(api)] == ["ticket 3"] * 2
    async with await control.client("vera", exactly=Role.VIEWER) as vera:
        assert (await vera.get("/apps/ann", params={"reason": "x"})).status_code == 403


async def test_where_nothing_can_be_written_down_nothing_is_listed(
    api: httpx.AsyncClient, control: Control, story: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why somebody is refused can be asked all the same: it is most needed then."""

    async def full(work: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(control.store, "write", full)
    assert (await api.get("/apps/ann", params={"reason": "ticket 4"})).status_code == 503
    assert (
        await api.get("/why", params={"user": "ann", "with_ban": "X=android:com.x", "reason": "y"})
    ).status_code == 503
    assert (await asked(api, None))["answers"][0]["effect"] == "allow"


async def test_whom_a_change_cuts_is_named_with_a_reason_only(
    api: httpx.AsyncClient, control: Control, story: None
) -> None:
    dirty = reported(NOW + 4 * HOUR, TIKTOK)
    await control.store.write(lambda writing: writing.put_inventory(dirty))
    await api.put("/flags/bans/TikTok", json={"flag": "report-only"})
    change = (await api.get("/changes", params={"limit": 1})).json()["changes"][0]["number"]
    await api.post(f"/changes/{change}/withdraw", json={})
    await api.put("/flags/bans/TikTok", json={"flag": "enforce"})
    number = (await api.get("/changes", params={"limit": 1})).json()["changes"][0]["number"]
    path = f"/changes/{number}"
    shown = (await api.get(path)).json()
    assert (shown["newly_cut"], shown["preview"]["newly_cut"], shown["preview"]["first_cut"]) == (1, 1, [])
    assert (await api.get(path, params={"names": "true"})).status_code == 422
    async with await control.client("vera", exactly=Role.VIEWER) as vera:
        assert (await vera.get(path)).status_code == 200
        assert (await vera.get(path, params={"names": "true", "reason": "x"})).status_code == 403
    assert await viewed(api) == []
    named = (await api.get(path, params={"names": "true", "reason": "is that the test phone?"})).json()
    assert named["preview"]["first_cut"] == [{"person": USER, "device": "abc1"}]
    (entry,) = await viewed(api)
    assert entry["details"] == {"what": "preview", "change": number, "reason": "is that the test phone?"}


async def test_erasing_a_person(api: httpx.AsyncClient, control: Control, story: None) -> None:
    path = "/people/ann"
    assert (await api.delete(path)).status_code == 422
    assert (await api.delete("/people/nobody", params={"reason": "x"})).status_code == 404
    dirty = replace(reported(NOW + 4 * HOUR, TIKTOK), device_keys=KEYS)
    await control.store.write(lambda writing: writing.put_inventory(dirty, before=reported(NOW + 3 * HOUR, FIREFOX)))
    refused = await api.delete(path, params={"reason": "left, request 12"})
    assert refused.status_code == 422
    assert "is refused by ban TikTok; erasing would forget that" in refused.json()["detail"]
    done = (await api.delete(path, params={"reason": "left, request 12", "even_refused": "true"})).json()
    assert done["erased"]["inventories"] == done["erased"]["mail_devices"] == 1
    assert any("audit log keeps its entries" in each for each in done["kept"])
    assert control.erased[-1] == USER
    assert (await api.get("/devices/ann/abc1")).status_code == 404
    told = await asked(api, NOW + 2.5 * HOUR)
    assert (told["known"], told["answers"][0]["evidence"]) == (False, [])
    entries = (await api.get("/audit/entries", params={"limit": 1000})).json()["entries"]
    (erased,) = [each["entry"] for each in entries if each["entry"]["kind"] == "person_erased"]
    assert (erased["actor"], erased["details"]["reason"]) == ("anna", "left, request 12")
    assert erased["details"]["even_refused"] is True
