"""A restore brings back no power and no plan that had ended by then: tokens, roles, approvals, changes on their way."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from gateway.app.restoring import RestorePreview, Restoring
from gateway.changes.desk import Actor, ChangeDesk, Wanted
from gateway.changes.previews import Previews
from gateway.cli.restore_words import as_data, before
from gateway.domain.audit import AuditKind
from gateway.domain.change import Approval, GuardedAction, PolicyChange, PreviewSeen, StageDone, State
from gateway.domain.operator import NamedOperator, Role
from gateway.domain.policy import first_policy
from gateway.domain.stages import EVERYBODY, Stage
from gateway.ports.store import IssuedCredential, PinnedBinding, Reading, Writing
from gateway.settings import load_settings
from gateway.storage.sql import open_store
from gateway.storage.sql.backups import write_backup

NOW = 1_700_000_000.0
SEEN = PreviewSeen("d1", 1, 7, NOW, 300, 0, 1_000)
YES = Approval("bob", "t2", NOW, "d1", NOW + 86_400)
STAGES = (Stage(percent=10.0), Stage(percent=20.0, after_seconds=60.0, by_itself=True), EVERYBODY)
ANN = NamedOperator("ann", frozenset({Role.EDITOR}))
BOB = NamedOperator("bob", frozenset({Role.APPROVER, Role.OPERATOR}))
EVE = NamedOperator("eve", frozenset({Role.APPROVER}))
LOST = IssuedCredential("abcdefgh", "ann@corp.example", "credential:abcdefgh", "digest", "mdm", "s1", "olga", NOW)
"""Of a phone that was left in a taxi."""


def change(number: int, state: State, **more: object) -> PolicyChange:
    made = PolicyChange(number, "ann", "t1", NOW, f"change {number}", 1, stages=STAGES, state=state, preview=SEEN)
    return replace(made, **more)  # type: ignore[arg-type]


CHANGES = (
    change(1, State.PREVIEWED),
    change(2, State.APPROVED, approvals=(YES,)),
    change(3, State.SCHEDULED, approvals=(YES,), starts_at=NOW + 3_600),
    change(4, State.APPLYING, approvals=(YES,), done=(StageDone(0, 1, NOW, "ann"),)),
    change(5, State.HALTED, approvals=(YES,), done=(StageDone(0, 1, NOW, "ann"),)),
    change(6, State.WITHDRAWN),
)


def written(database: Path, work: Callable[[Writing], Awaitable[None]]) -> None:
    async def run() -> None:
        store = await open_store(f"sqlite:///{database}", writable=True)
        await store.write(work)
        await store.close()

    asyncio.run(run())


async def as_backed_up(writing: Writing) -> None:
    await writing.put_policy(first_policy(NOW))
    for operator in (ANN, BOB, EVE):
        await writing.put_operator(operator)
    await writing.put_credential(LOST)
    await writing.put_pin(PinnedBinding("ann@corp.example", LOST.device_id, "mdm", "s1", True, "olga", NOW))
    for each in CHANGES:
        await writing.put_policy_change(each, NOW)


async def since_then(writing: Writing) -> None:
    """Everything is withdrawn, bob approves no more, and eve is gone."""
    for each in CHANGES[:5]:
        await writing.put_policy_change(replace(each, state=State.WITHDRAWN), NOW)
    await writing.put_operator(replace(BOB, roles=frozenset({Role.OPERATOR, Role.VIEWER})))
    await writing.put_operator(replace(EVE, removed_at=NOW + 60))
    await writing.put_credential(replace(LOST, revoked_at=NOW + 60))


def restore(tmp_path: Path, since: Callable[[Writing], Awaitable[None]]) -> tuple[Path, RestorePreview]:
    """Put a backup back on what has gone on since."""
    database, backup = tmp_path / "var" / "gatepost.db", tmp_path / "kept.backup"
    database.parent.mkdir()
    written(database, as_backed_up)
    asyncio.run(write_backup(f"sqlite:///{database}", backup, "0.1.0", NOW, lambda done, whole: None))
    written(database, since)
    settings = load_settings(None, {"GATEPOST_GATEWAY__DATA_DIR": str(database.parent)})
    with Restoring(settings, backup, keep_enforcing=True, now=NOW + 7_200) as restoring:
        restoring.prepare(lambda what, done, whole: None)
        preview = restoring.preview(lambda what, done, whole: None)
        restoring.carry_out(lambda what, done, whole: None)
    return database, preview


@pytest.fixture
def restored(tmp_path: Path) -> tuple[Path, RestorePreview]:
    return restore(tmp_path, since_then)


def found(database: Path, work: Callable[[Reading], Awaitable[object]]) -> object:
    async def run() -> object:
        store = await open_store(f"sqlite:///{database}", writable=False)
        async with store.read() as reading:
            answer = await work(reading)
        await store.close()
        return answer

    return asyncio.run(run())


def test_nothing_of_a_change_comes_by_itself_nor_stands_on_an_old_yes(restored: tuple[Path, RestorePreview]) -> None:
    database, preview = restored

    async def states(reading: Reading) -> object:
        changes = sorted(await reading.policy_changes(), key=lambda each: each.number)
        assert not any(each.approvals for each in changes)
        told = [each for each in await reading.audit_entries(0, 100) if AuditKind.CHANGE_HALTED.encode() in each.entry]
        return [each.state for each in changes], len(told)

    ends = [State.PREVIEWED, State.PREVIEWED, State.PREVIEWED, State.HALTED, State.HALTED, State.WITHDRAWN]
    assert found(database, states) == (ends, 4)
    text = "\n".join(before(preview, NOW + 7_200))
    assert "change 3 was scheduled, and is previewed then: change 3" in text
    assert [each["number"] for each in as_data(preview, "", NOW)["changes_held"]] == [2, 3, 4, 5]


def test_who_has_lost_a_role_or_is_gone_does_not_come_back(restored: tuple[Path, RestorePreview]) -> None:
    database, preview = restored

    async def operators(reading: Reading) -> object:
        return {each.name: (sorted(each.roles), each.present) for each in await reading.operators()}

    assert found(database, operators) == {
        "ann": ([Role.EDITOR], True),
        "bob": ([Role.OPERATOR], True),
        "eve": ([Role.APPROVER], False),
    }
    text = "\n".join(before(preview, NOW + 7_200))
    assert "stays as it is: operator bob, operator\nstays as it is: operator eve, removed" in text


def test_a_device_credential_that_was_revoked_stays_so(restored: tuple[Path, RestorePreview]) -> None:
    database, preview = restored

    async def credential(reading: Reading) -> object:
        known = await reading.credential(LOST.id)
        return known is not None and known.revoked_at, list(await reading.pins_of_person(LOST.person_id))

    assert found(database, credential) == (NOW + 60, [])
    assert "1 device credentials revoked since are not given back" in "\n".join(before(preview, NOW + 7_200))


def lost(number: int) -> PolicyChange:
    return change(number, State.APPLIED, done=(StageDone(0, 2, NOW, "ann"),))


@pytest.mark.parametrize("newest", [6, 7, 9])
def test_no_number_of_a_change_is_given_out_twice(tmp_path: Path, newest: int) -> None:
    """Message-IDs of notices, links in them and the audit log name changes by number: those of lost ones, too."""

    async def lost_since(writing: Writing) -> None:
        for number in range(7, newest + 1):
            await writing.put_policy_change(lost(number), NOW)

    database, preview = restore(tmp_path, lost_since)

    async def kept(reading: Reading) -> object:
        told = [each.entry for each in await reading.audit_entries(0, 100)]
        return [(each.number, each.state) for each in await reading.policy_changes()], told

    async def proposed() -> int:
        store = await open_store(f"sqlite:///{database}", writable=True)
        desk = ChangeDesk(store, cast(Previews, None), lambda: NOW + 7_300)
        made = await desk.propose_action(Actor("ann", "t1"), GuardedAction("anything"), Wanted(title="the next one"))
        await store.close()
        return made.number

    assert asyncio.run(proposed()) == newest + 1
    changes, told = cast(tuple[list[tuple[int, State]], list[bytes]], found(database, kept))
    if newest > 6:
        assert changes[1:3] == [(newest, State.REJECTED), (6, State.WITHDRAWN)]
    assert any(b"change_rejected" in each and f'"change":{newest},'.encode() in each for each in told) is (newest > 6)
    text = "\n".join(before(preview, NOW + 7_200))
    assert {6: "lost: nothing", 7: "  change 7\n", 9: "  changes 7 to 9\n"}[newest] in text
    assert as_data(preview, "", NOW)["lost"]["changes"] == list(range(7, newest + 1))
