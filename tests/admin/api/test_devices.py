"""Mail devices by API."""

import httpx
import pytest

from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import Naming, Platform, Scope
from gateway.ports.store import MailDevice, PinnedBinding, Writing
from tests.support.control import NOW, Control

USER = "ann@corp.example"


@pytest.fixture(autouse=True)
async def fleet(control: Control) -> None:
    async def work(writing: Writing) -> None:
        for device_id in ("abc1", "abc2", "abc3"):
            information = '{"Model": "Phone"}' if device_id == "abc1" else "[]" if device_id == "abc2" else "{"
            await writing.put_mail_device(
                MailDevice(USER, device_id, NOW - 60, NOW, "Android", "Mail/1", "16.1", "192.0.2.1", information)
            )
        await writing.put_pin(PinnedBinding(USER, "abc1", "mdm", "s1", bound=True, author="root", at=NOW))

    await control.store.write(work)
    source = SourceEvidence("mdm", "s1", Scope.DEVICE, Naming.IDENTIFIER, NOW, 86_400.0, (), full_at=NOW)
    control.records[USER] = PersonRecord(
        USER,
        True,
        (USER,),
        frozenset({"sales"}),
        {
            "abc1": DeviceEvidence("abc1", BindingState.BOUND, (source,), platform=Platform.ANDROID),
            "new9": DeviceEvidence("new9", BindingState.BOUND, (source,), platform=Platform.ANDROID),
        },
        (DeviceEvidence("", BindingState.BOUND, (source,)),),
    )


async def test_devices_are_listed_page_by_page(api: httpx.AsyncClient) -> None:
    first = (await api.get("/devices", params={"limit": 2})).json()
    assert [each["device"] for each in first["devices"]] == ["abc1", "abc2"]
    rest = (await api.get("/devices", params={"limit": 2, "after": first["next_after"]})).json()
    assert [each["device"] for each in rest["devices"]] == ["abc3"]
    assert rest["next_after"] is None


async def test_the_devices_of_a_user(api: httpx.AsyncClient) -> None:
    told = (await api.get("/devices/CORP%5CAnn")).json()
    assert (told["person"], told["groups"]) == (USER, ["sales"])
    assert [(each["device"], each["binding"]) for each in told["devices"]] == [
        ("abc1", "bound"),
        ("abc2", "unmatched"),
        ("abc3", "unmatched"),
        ("new9", "bound"),
    ]
    assert told["without_mail"][0]["source_device"] == "s1"


async def test_one_device(api: httpx.AsyncClient) -> None:
    told = (await api.get(f"/devices/{USER}/ABC1")).json()
    assert told["stated"] == {"Model": "Phone"}
    assert told["pins"] == [
        {"source": "mdm", "source_device": "s1", "bound": True, "author": "root", "at": "2023-11-14T22:13:20Z"}
    ]
    assert told["evidence"][0]["source"] == "mdm"
    assert (told["first_seen_at"], told["protocol_version"]) == ("2023-11-14T22:12:20Z", "16.1")
    assert (await api.get(f"/devices/{USER}/new9")).json()["first_seen_at"] is None


@pytest.mark.parametrize("device", ["abc2", "abc3"])
async def test_what_a_device_says_of_itself_may_be_rubbish(api: httpx.AsyncClient, device: str) -> None:
    assert (await api.get(f"/devices/{USER}/{device}")).json()["stated"] == {}


async def test_a_device_is_forgotten(api: httpx.AsyncClient, control: Control) -> None:
    answer = await api.delete(f"/devices/{USER}/ABC1")
    assert answer.json() == {"user": USER, "device": "abc1", "inventories": 1, "tombstones": 2}
    assert control.forgotten == [(USER, "abc1")]


async def test_devices_that_are_not(api: httpx.AsyncClient) -> None:
    assert (await api.get(f"/devices/{USER}/zzz")).status_code == 404
    assert (await api.delete(f"/devices/{USER}/zzz")).status_code == 404
    assert (await api.get("/devices/a@b@c")).status_code == 422
    assert (await api.get(f"/devices/{USER}/a b")).status_code == 422
