"""Bindings by hand, by API: what they do to the records, and that no hit gets lost on the way."""

import httpx
import pytest

from gateway.domain.inventory import App, DeviceKey, Inventory, Naming, Platform, Scope
from gateway.domain.operator import Role
from gateway.inventory.records import with_canonical_keys
from gateway.ports.store import MailDevice, Source, Writing
from tests.support.control import NOW, RULES, Control

USER = "ann@corp.example"
TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok")
PATH = f"/devices/{USER}/PHONE1/pins"


def inventory(source_device: str, *apps: App, device_id: str = "") -> Inventory:
    keys = (DeviceKey("user", "ann"), *((DeviceKey("eas_device_id", device_id),) if device_id else ()))
    stated = Inventory(
        "mdm",
        source_device,
        Scope.DEVICE,
        Naming.IDENTIFIER,
        NOW,
        NOW,
        1,
        apps,
        full_at=NOW,
        device_keys=keys,
        platform=Platform.ANDROID,
    )
    return with_canonical_keys(stated, RULES)


@pytest.fixture(autouse=True)
async def reported(control: Control, api: httpx.AsyncClient) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_source(Source("mdm", "push", "*", Scope.DEVICE, 86_400.0))
        await writing.put_mail_device(MailDevice(USER, "phone1", NOW, NOW))
        await writing.put_inventory(inventory("dirty", TIKTOK, device_id="PHONE1"))
        await writing.put_inventory(inventory("clean", App(Platform.ANDROID, "org.mozilla.firefox")))

    await control.store.write(work)
    control.published.clear()


async def shown(api: httpx.AsyncClient) -> dict[str, object]:
    result: dict[str, object] = (await api.get(f"/devices/{USER}/PHONE1")).json()
    return result


async def test_a_device_is_bound_by_hand(api: httpx.AsyncClient, control: Control) -> None:
    await api.put(PATH, json={"source": "mdm", "source_device": "dirty", "bound": False})
    assert (await shown(api))["binding"] == "unmatched"
    answer = await api.put(PATH, json={"source": "mdm", "source_device": "clean", "bound": True})
    told = answer.json()
    assert answer.status_code == 200
    assert told["binding"] == "bound"
    assert [each["source_device"] for each in told["evidence"]] == ["clean"]
    assert {(pin["source_device"], pin["bound"], pin["author"]) for pin in told["pins"]} == {
        ("dirty", False, "anna"),
        ("clean", True, "anna"),
    }
    assert [change.names for change in control.published] == [(USER,), (USER,)]


async def test_taken_back_the_ids_decide_again(api: httpx.AsyncClient) -> None:
    await api.put(PATH, json={"source": "mdm", "source_device": "dirty", "bound": False})
    answer = await api.delete(PATH, params={"source": "mdm", "source_device": "dirty"})
    assert answer.json()["devices"][0]["binding"] == "bound"
    assert (await shown(api))["pins"] == []


async def test_a_hit_does_not_go_away_with_the_binding(api: httpx.AsyncClient) -> None:
    matcher = {"kind": "id", "value": TIKTOK.id, "platform": "android"}
    ban = {"name": "TikTok", "matchers": [matcher], "flag": "enforce"}
    assert (await api.post("/bans", json=ban)).status_code == 201
    await api.put(PATH, json={"source": "mdm", "source_device": "dirty", "bound": False})
    await api.put(PATH, json={"source": "mdm", "source_device": "clean", "bound": True})
    why = (await api.get("/why", params={"user": USER, "device": "PHONE1"})).json()
    assert why["answers"][0]["effect"] == "deny"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"source": "mdm", "source_device": "none", "bound": True}, "source mdm has reported no device none"),
        ({"source": "other", "source_device": "clean", "bound": True}, "source other has reported no device clean"),
        ({"source": "", "source_device": "clean", "bound": True}, "source"),
        ({"source": "mdm", "source_device": "clean"}, "bound"),
    ],
)
async def test_pairs_that_are_none(api: httpx.AsyncClient, body: dict[str, object], words: str) -> None:
    answer = await api.put(PATH, json=body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


async def test_a_viewer_may_not(control: Control) -> None:
    async with await control.client("vera", Role.VIEWER) as viewer:
        body = {"source": "mdm", "source_device": "clean", "bound": True}
        assert (await viewer.put(PATH, json=body)).status_code == 403


# --- with somebody who could approve


@pytest.fixture
async def bob(api: httpx.AsyncClient, control: Control) -> httpx.AsyncClient:
    """An approver, and a ban that phone1 falls under."""
    matcher = {"kind": "id", "value": TIKTOK.id, "platform": "android"}
    assert (await api.post("/bans", json={"name": "TikTok", "matchers": [matcher]})).status_code == 201
    assert (await api.post("/operators", json={"name": "bob", "roles": ["approver"]})).status_code == 201
    return await control.client("bob")


async def approved(api: httpx.AsyncClient, bob: httpx.AsyncClient, number: int) -> None:
    digest = (await api.get(f"/changes/{number}")).json()["digest"]
    assert (await bob.post(f"/changes/{number}/approve", json={"digest": digest})).status_code == 200
    applied = await api.post(f"/changes/{number}/apply")
    assert applied.status_code == 200, applied.text


async def test_a_banned_phone_is_bound_to_a_clean_inventory_by_two_people(
    api: httpx.AsyncClient, bob: httpx.AsyncClient, control: Control
) -> None:
    """A newer clean list of the same source would clear the hit at once."""
    before = await shown(api)
    waits = await api.put(PATH, json={"source": "mdm", "source_device": "clean", "bound": True})
    assert waits.status_code == 202
    number, sentence = waits.json()["change"], waits.json()["sentence"]
    assert sentence == (
        f"device phone1 of {USER} has an open hit ({TIKTOK.id}): not done yet: change {number} (bind device phone1 of "
        f"{USER} to clean of source mdm) needs the approval of a second person, not anna: gatepost approve {number}, "
        f"then gatepost apply {number}"
    )
    assert await shown(api) == before
    assert (await api.post(f"/changes/{number}/apply")).status_code == 409
    assert await shown(api) == before
    # Who sees changes sees nobody's apps.
    assert TIKTOK.id not in (await api.get(f"/changes/{number}")).text
    await approved(api, bob, number)
    pins = (await shown(api))["pins"]
    assert isinstance(pins, list)
    assert [(pin["source_device"], pin["author"]) for pin in pins] == [("clean", "anna")]
    async with control.store.read() as reading:
        entries = b"".join([each.entry for each in await reading.audit_entries(0, 1000)])
    assert USER.encode() not in entries


@pytest.mark.parametrize("bound", [True, False])
async def test_each_word_on_a_phone_with_an_open_hit_takes_two(
    api: httpx.AsyncClient, bob: httpx.AsyncClient, bound: bool
) -> None:
    answer = await api.put(PATH, json={"source": "mdm", "source_device": "dirty", "bound": bound})
    assert (answer.status_code, (await shown(api))["pins"]) == (202, [])


async def test_taking_a_word_back_takes_two_as_well(api: httpx.AsyncClient, control: Control) -> None:
    await api.put(PATH, json={"source": "mdm", "source_device": "dirty", "bound": True})
    matcher = {"kind": "id", "value": TIKTOK.id, "platform": "android"}
    await api.post("/bans", json={"name": "TikTok", "matchers": [matcher]})
    await api.post("/operators", json={"name": "bob", "roles": ["approver"]})
    waits = await api.delete(PATH, params={"source": "mdm", "source_device": "dirty"})
    assert waits.status_code == 202
    pins = (await shown(api))["pins"]
    assert isinstance(pins, list)
    assert len(pins) == 1
    async with await control.client("bob") as bob:
        await approved(api, bob, waits.json()["change"])
    assert (await shown(api))["pins"] == []


async def test_a_phone_is_judged_by_what_is_reported_for_somebody_else_by_two_people(
    api: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    other = "/devices/carl@corp.example/PHONE9/pins"
    waits = await api.put(other, json={"source": "mdm", "source_device": "clean", "bound": True})
    assert waits.status_code == 202
    assert waits.json()["sentence"].startswith(f"clean is reported for {USER}, not for carl@corp.example: not done yet")
    # That two are never one takes nothing from anybody.
    never = await api.put(other, json={"source": "mdm", "source_device": "clean", "bound": False})
    assert never.status_code == 200


async def test_a_phone_without_a_hit_is_bound_by_one(api: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    answer = await api.put(
        f"/devices/{USER}/PHONE2/pins", json={"source": "mdm", "source_device": "clean", "bound": True}
    )
    assert (answer.status_code, answer.json()["binding"]) == (200, "bound")


async def test_a_device_with_an_open_hit_is_forgotten_by_two_people(
    api: httpx.AsyncClient, bob: httpx.AsyncClient, control: Control
) -> None:
    waits = await api.delete(f"/devices/{USER}/PHONE1")
    assert (waits.status_code, control.forgotten) == (202, [])
    number = waits.json()["change"]
    assert waits.json()["sentence"].startswith(f"device phone1 of {USER} has an open hit ({TIKTOK.id}): not done yet")
    await approved(api, bob, number)
    assert control.forgotten == [(USER, "phone1")]
    without_mail = await api.delete(f"/devices/{USER}", params={"without_mail": "true"})
    assert without_mail.status_code == 200


async def test_where_nobody_else_could_approve_it_is_done_and_the_audit_log_says_so(
    api: httpx.AsyncClient, control: Control
) -> None:
    matcher = {"kind": "id", "value": TIKTOK.id, "platform": "android"}
    await api.post("/bans", json={"name": "TikTok", "matchers": [matcher]})
    assert (await api.put(PATH, json={"source": "mdm", "source_device": "dirty", "bound": False})).status_code == 200
    async with control.store.read() as reading:
        last = (await reading.audit_entries(0, 1000))[-1]
    assert b'"alone":true' in last.entry
