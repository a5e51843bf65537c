"""Device credentials by API: shown once, listed without secrets, revoked once and for all."""

import httpx
import pytest
import structlog

from gateway.domain.credential import split
from gateway.domain.operator import Role
from gateway.ports.store import MailDevice, Writing
from tests.support.control import NOW, Control

USER = "ann@corp.example"
FOR_PHONE = {"user": USER, "device": "PHONE1"}


@pytest.fixture(autouse=True)
async def seen(control: Control) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_mail_device(MailDevice(USER, "phone1", NOW, NOW))

    await control.store.write(work)


async def test_issued_listed_and_revoked(api: httpx.AsyncClient, control: Control) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await api.post("/credentials", json=FOR_PHONE)
        issued = answer.json()
        name, shown = split(issued["login"])
        assert answer.status_code == 201
        assert name == USER
        assert shown is not None
        assert (issued["id"], issued["device"], issued["author"]) == (shown.id, "phone1", "anna")
        listed = await api.get("/credentials", params={"user": "ann"})
        assert [each["id"] for each in listed.json()["credentials"]] == [shown.id]
        assert (await api.get("/credentials")).json() == listed.json()
        ended = await api.delete(f"/credentials/{shown.id.upper()}")
        assert ended.json()["revoked_at"] is not None
        assert (await api.delete(f"/credentials/{shown.id}")).json() == ended.json()
    secret = issued["login"].rpartition("-")[2]
    for text in (listed.text, ended.text, str(logs)):
        assert shown.id in text
        assert secret not in text
        assert shown.digest not in text
    assert [change.names for change in control.published if change.names] == [(USER,), (USER,)]


async def test_page_by_page(api: httpx.AsyncClient) -> None:
    ids = sorted([(await api.post("/credentials", json=FOR_PHONE)).json()["id"] for _ in range(3)])
    first = (await api.get("/credentials", params={"limit": 2})).json()
    assert [each["id"] for each in first["credentials"]] == ids[:2]
    rest = (await api.get("/credentials", params={"limit": 2, "after": first["next_after"]})).json()
    assert [each["id"] for each in rest["credentials"]] == ids[2:]
    assert rest["next_after"] is None


@pytest.mark.parametrize(
    "given",
    [
        {"user": USER},
        {"user": USER, "device": "phone1", "source": "mdm", "source_device": "x"},
        {"user": USER, "source": "mdm"},
        {"user": USER, "source_device": "x"},
        {"user": USER, "device": "phone1", "source_device": "x"},
        {"user": USER, "device": "other"},
        {"user": f"{USER}%k3vq7mzd-abcdefghijklmnopqrstuvwxyz", "device": "phone1"},
    ],
)
async def test_what_cannot_be_issued(api: httpx.AsyncClient, given: dict[str, str]) -> None:
    answer = await api.post("/credentials", json=given)
    assert answer.status_code == 422
    assert "abcdefghijklmnopqrstuvwxyz" not in answer.text
    assert (await api.get("/credentials")).json()["credentials"] == []


async def test_one_that_is_not_there(api: httpx.AsyncClient) -> None:
    assert (await api.delete("/credentials/aaaaaaaa")).status_code == 404
    assert (await api.delete("/credentials/other")).status_code == 422


async def test_a_viewer_sees_issues_and_revokes_none(control: Control) -> None:
    async with await control.client("bob", Role.VIEWER) as viewer:
        assert (await viewer.post("/credentials", json=FOR_PHONE)).status_code == 403
        assert (await viewer.delete("/credentials/aaaaaaaa")).status_code == 403
        assert (await viewer.get("/credentials")).status_code == 403


async def test_why_tells_by_what_a_device_is_known(api: httpx.AsyncClient) -> None:
    issued = (await api.post("/credentials", json=FOR_PHONE)).json()

    async def told(**query: str) -> list[tuple[str, str, list[str]]]:
        answers = (await api.get("/why", params={"user": USER, **query})).json()["answers"]
        return [(each["device"], each["identity"], each["credentials"]) for each in answers]

    assert await told(protocol="imap") == [
        ("phone1", "device_credential", [issued["id"]]),
        ("", "user_wide", []),
    ]
    assert await told(device="PHONE1") == [("phone1", "device_id", [issued["id"]])]
    await api.delete(f"/credentials/{issued['id']}")
    assert await told(device="PHONE1", protocol="imap") == [("phone1", "device_id", [])]
