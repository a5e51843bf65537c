"""What one person alone must not be able to do, tried by commands at a gateway that runs: refused, nothing half done.

``docs/changes.md`` has each with what is printed; its table and what is seen here are the same lines.
"""

import asyncio
from pathlib import Path

import pytest

from tests.system.two_people import Shop, banned, holder, inventory, shop, table

TEN = [f"App{number}" for number in range(10)]
HOLDERS = {"TikTok": 59, "Wide": 60, **dict.fromkeys(TEN, 49)}
DORA = "dora@corp.example"
MORE = (
    inventory(DORA, "dora1", banned("TikTok")),
    inventory(DORA, "", source_device="tablet-of-dora"),
    inventory("carl@corp.example", "", source_device="tablet-of-carl"),
    inventory("emil@corp.example", "emil1"),
)
IN_PROCESS = 5
"""Lines of the table that ``tests/cli/test_changes_in_time.py`` shows: they take a clock that can be moved."""


async def test_each_of_these_is_refused_and_nothing_of_it_is_done(tmp_path: Path) -> None:
    async with shop(tmp_path, HOLDERS, MORE) as office:
        await _bans(office)
        number = await _approvals_that_do_not_count(office)
        await _other_selves(office)
        await _ten_small_ones(office)
        await _letting_through(office)
        await _bindings(office)
        await _a_fleet_that_changed(office, number)
        await _an_edited_change(office)
        await _two_that_cross(office)
        await _a_revoked_approver(office)
        listed = table()
        missing = [row for row in office.rows if row not in listed]
        assert not missing, "\n".join(["not in docs/changes.md:", *missing])
        assert len(listed) == len(office.rows) + IN_PROCESS


async def _bans(office: Shop) -> None:
    for name in HOLDERS:
        await office.gatepost("ann", "ban", "add", name, "--id", f"android:{banned(name).id}", "--yes")


async def _approvals_that_do_not_count(office: Shop) -> int:
    number = await office.refused("60 devices at once", "ann", "flag", "set", "TikTok", "enforce", "--yes", waits=True)
    approve = ("approve", str(number), "--yes")
    await office.refused("the author approves", "ann", *approve)
    office.tokens["ann again"] = await office.token("ann", "ann")
    await office.refused("the author approves by a second token", "ann again", *approve)
    await office.refused("the first start's token approves", "admin", *approve)
    await office.refused("somebody approves who has not the role", "olga", *approve)
    await office.refused("the change is applied all the same", "ann", "apply", str(number), "--yes", waits=True)
    return number


async def _other_selves(office: Shop) -> None:
    words = ("operator", "add", "eve", "--role", "approver")
    number = await office.refused("the author makes an approver", "ann", *words, waits=True)
    await office.refused("and approves that", "ann", "approve", str(number), "--yes")
    before = await office.everything()
    office.tokens["false bob"] = await office.token("ann", "bob", expect=3)
    assert await office.everything() == before
    await office.refused("a token made in an approver's name is used", "false bob", "approve", str(number), "--yes")
    office.tokens["looks as bob"] = await office.token("ann", "bob", "--role", "viewer")
    await office.refused("a token that only looks makes a better one", "looks as bob", "token", "create", "bob")
    await office.refused(
        "a source for all devices", "olga", "source", "add", "everywhere", "--devices", "*", "--user", "*", waits=True
    )


async def _ten_small_ones(office: Shop) -> None:
    """Each of 49 devices; the first one is one person's."""
    await office.gatepost("ann", "flag", "set", TEN[0], "enforce", "--yes")
    for name in TEN[1:-1]:
        refused = await office.gatepost("ann", "flag", "set", name, "enforce", "--yes", expect=3)
        assert "49 devices newly cut, 49 more by ann's changes of the last 24 hours" in refused.stderr
    await office.refused(
        "the tenth change of 49 devices", "ann", "flag", "set", TEN[-1], "enforce", "--yes", waits=True
    )


async def _letting_through(office: Shop) -> None:
    until = ("--for", "2d", "--reason", "travels", "--yes")
    await office.refused("exempting oneself", "ann", "exempt", "add", "--user", "ann", *until, waits=True)
    await office.refused("exempting a group", "ann", "exempt", "add", "--group", "board", *until, waits=True)
    await office.refused(
        "letting unknowns pass", "ann", "flag", "set", "--unknown", "missing", "allow", "--yes", waits=True
    )
    await office.refused(
        "letting all pass in an outage", "ann", "flag", "set", "--unavailable", "allow", "--yes", waits=True
    )


async def _bindings(office: Shop) -> None:
    phone = (DORA, "dora1")
    await office.refused(
        "a banned phone is bound to a clean inventory",
        "olga",
        "device",
        "bind",
        *phone,
        "mdm",
        "tablet-of-dora",
        "--yes",
        waits=True,
    )
    await office.refused("a banned phone is forgotten", "olga", "device", "forget", *phone, "--yes", waits=True)
    await office.refused(
        "a phone is judged by another person's device",
        *("olga", "device", "bind", "emil@corp.example", "emil1", "mdm", "tablet-of-carl", "--yes"),
        waits=True,
    )


async def _a_fleet_that_changed(office: Shop, number: int) -> None:
    """More phones have the app than when it was approved; approved anew it is applied, and taken back by one person."""
    await office.approved(number)
    await asyncio.gather(
        *(office.agent.dirty(holder("new", each), f"NEW{each}", banned("TikTok").id) for each in range(11))
    )
    apply = ("apply", str(number), "--yes")
    await office.refused("the fleet changed since the approval", "ann", *apply, waits=True)
    await office.gatepost("bob", "change", "preview", str(number))
    await office.refused("it is previewed anew, and applied by the old approval", "ann", *apply, waits=True)
    await office.approved(number)
    await office.gatepost("ann", *apply)
    await office.gatepost("olga", "withdraw", str(number))


async def _an_edited_change(office: Shop) -> None:
    """Edited means another change: the yes to the first one is none to it."""
    first = await office.newest()
    await office.gatepost("bob", "flag", "set", "Wide", "enforce", "--yes", expect=3)
    first = await office.newest()
    async with office.api("ann") as api:
        digest = (await api.get(f"/changes/{first}")).json()["digest"]
    await office.approved(first, "ann")
    await office.gatepost(
        "bob", "ban", "add", "Wider", "--id", "android:com.example.*", "--flag", "enforce", "--yes", expect=3
    )
    edited = await office.newest()
    await office.refused_by_api(
        "the approval of one change is used for its edited successor",
        "ann",
        f"/changes/{edited}/approve",
        {"digest": digest},
    )
    await office.gatepost("bob", "change", "reject", str(first))
    await office.gatepost("bob", "change", "reject", str(edited))


async def _two_that_cross(office: Shop) -> None:
    await office.gatepost("ann", "flag", "set", "Wide", "enforce", "--yes", expect=3)
    number = await office.newest()
    await office.approved(number)
    await office.gatepost("bob", "flag", "set", "Wide", "enforce", "--percent", "25", "--yes")
    await office.refused("somebody else touched the same meanwhile", "ann", "apply", str(number), "--yes")
    await office.gatepost("ann", "change", "reject", str(number))


async def _a_revoked_approver(office: Shop) -> None:
    await office.gatepost(
        "ann", "exempt", "add", "--group", "board", "--for", "2d", "--reason", "trip", "--yes", expect=3
    )
    number = await office.newest()
    await office.approved(number)
    async with office.api("ann") as api:
        tokens = (await api.get("/tokens")).json()["tokens"]
    (stolen,) = [each["id"] for each in tokens if each["operator"] == "bob" and "approver" in each["roles"]]
    await office.gatepost("olga", "token", "revoke", stolen, "--yes")
    await office.refused("the approver's token was revoked meanwhile", "ann", "apply", str(number), "--yes", waits=True)


@pytest.fixture(autouse=True)
def _no_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whoever runs the tests."""
    for name in ("GATEPOST_URL", "GATEPOST_TOKEN", "GATEPOST_CONFIG"):
        monkeypatch.delenv(name, raising=False)
