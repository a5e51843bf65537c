"""The audit log by the API: what was done stands there, by whom, and about whom only for who asks by name."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.operator import Role
from gateway.ports.store import Writing
from tests.support.control import Control


async def entries(api: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get("/audit/entries", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [line["entry"]["kind"] for line in found]


async def test_what_operators_do_stands_there(api: httpx.AsyncClient) -> None:
    ban = {"name": "TikTok", "matchers": [{"value": "android:com.zhiliaoapp.musically"}]}
    assert (await api.post("/bans", json=ban)).status_code < 300
    source = (await api.post("/sources", json={"name": "mdm"})).json()
    assert (await api.post("/sources/mdm/rotate", json={})).status_code == 200
    token = (await api.post("/tokens", json={"operator": "bob"})).json()
    assert (await api.delete(f"/tokens/{token['id']}")).status_code == 200
    rows = [{"user": "carl@corp.example", "groups": ["board"]}]
    assert (await api.post("/people/import", json={"rows": rows})).status_code == 200
    assert (await api.delete("/sources/mdm")).status_code == 200
    found = await entries(api)
    assert [kind for kind in kinds(found) if not kind.startswith(("change_", "preview_"))] == [
        "policy_edited",
        "policy_edited",
        "source_added",
        "source_rotated",
        "operator",
        "token_created",
        "token_revoked",
        "people_imported",
        "source_removed",
        "audit_read",
    ]
    assert {line["entry"]["actor"] for line in found[1:]} == {"anna"}
    assert [line["seq"] for line in found] == list(range(1, len(found) + 1))
    text = str(found)
    for secret in (source["secret"], token["token"], "carl"):
        assert secret not in text


async def test_an_edit_that_is_refused_is_not_told_of(api: httpx.AsyncClient) -> None:
    assert (await api.post("/tokens", json={"operator": " "})).status_code >= 400
    assert (await api.delete("/sources/none")).status_code == 404
    assert kinds(await entries(api)) == ["policy_edited", "audit_read"]


async def test_an_exemption_names_nobody_and_is_found_by_name(api: httpx.AsyncClient) -> None:
    wanted = {"user": "ann@corp.example", "reason": "travels", "ends_at": "2023-11-20T00:00:00Z"}
    answer = await api.post("/exemptions", json=wanted)
    assert answer.status_code < 300, answer.text
    every = await entries(api)
    assert "ann@corp" not in str(every)
    edit = next(each["entry"] for each in every[1:] if each["entry"]["kind"] == "policy_edited")
    assert edit["details"]["exemptions_added"] == 1
    assert edit["details"]["summary"].endswith("added for (see subjects)")
    found = await entries(api, user="CORP\\ann")
    assert {"policy_edited", "audit_read"} <= set(kinds(found))
    assert found[-1]["entry"]["subjects"] == [{"person": edit["subjects"][0]["person"]}]
    assert kinds(await entries(api, user="nobody@corp.example", after=1)) == ["audit_read"]


async def test_pages_go_on_where_they_ended(api: httpx.AsyncClient, control: Control) -> None:
    async def work(writing: Writing) -> None:
        for number in range(10):
            await writing.log_audit(AuditEntry(AuditKind.NOTICE, "x", (Subject(f"p{number % 2}"),)))

    await control.store.write(work)
    answer = (await api.get("/audit/entries", params={"limit": 4})).json()
    assert (answer["next_after"], answer["size"]) == (4, 12)
    rest = (await api.get("/audit/entries", params={"after": 4, "limit": 1000})).json()
    assert ([line["seq"] for line in rest["entries"]], rest["next_after"]) == ([*range(5, 13)], None)
    assert kinds(await entries(api, user="p1", after=1)) == ["audit_read"]


async def test_nobody_reads_without_being_told_of_by_beginning_at_a_number(api: httpx.AsyncClient) -> None:
    whom = {"user": "ann@corp.example"}
    for query in ({"after": 1}, {"after": 1, **whom}, {"after": 2, **whom}):
        read = [line["entry"] for line in await entries(api, **query) if line["entry"]["kind"] == "audit_read"][-1]
        assert (read["actor"], read["details"], "subjects" in read) == (
            "anna",
            {"after": query["after"]},
            "user" in query,
        )
    page = (await api.get("/audit/entries", params={"limit": 2})).json()
    for _ in range(3):
        # To go on where the page before has ended, and then to wait for what comes, is the same reading.
        following = {"limit": 1000, "after": page["next_after"] or page["size"]}
        page = (await api.get("/audit/entries", params=following)).json()
    assert page["entries"] == []


@pytest.mark.parametrize(
    ("since", "until", "wanted"), [(0, 0, 5), (100, 0, 3), (0, 300, 4), (100, 200, 1), (900, 0, 0)]
)
async def test_entries_of_a_time(since: int, until: int, wanted: int) -> None:
    moments = [float(at) for at in (0, 0, 100, 200, 300)]
    control = Control()
    control.store._now = lambda: 1_000_000_000.0 + moments.pop(0) if moments else 1_000_009_999.0  # type: ignore[attr-defined]

    async def work(writing: Writing) -> None:
        await writing.log_audit(AuditEntry(AuditKind.NOTICE, "x"))

    for _ in range(5):
        await control.store.write(work)
    async with await control.client() as api:
        query = {
            name: datetime.fromtimestamp(1_000_000_000 + at, UTC).isoformat()
            for name, at in (("since", since), ("until", until))
            if at
        }
        found = [line for line in await entries(api, **query) if line["entry"]["kind"] == "notice"]
    assert len(found) == (wanted if since or until else 5)


async def test_where_the_log_stands(api: httpx.AsyncClient, control: Control) -> None:
    answer = (await api.get("/audit")).json()
    assert (answer["first"], answer["size"], answer["signed_upto"], answer["signed_at"]) == (1, 1, 0, None)
    assert answer["origin"].startswith("gatepost/")


async def test_an_auditor_reads_it(control: Control) -> None:
    async with await control.client("vera", exactly=Role.AUDITOR) as api:
        assert kinds(await entries(api)) == ["policy_edited", "audit_read"]
