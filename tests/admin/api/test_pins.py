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
