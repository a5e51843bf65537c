"""A file of memberships cuts and frees people by what the policy has for groups: it says so, and cuts no thousands."""

import json
from dataclasses import replace

import pytest

from gateway.domain.audit import AuditKind
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.brake import Brake
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import Exemption, PolicyVersion, first_policy, policy_of
from gateway.inventory.consequences import Evidence
from gateway.inventory.people import Imported, People, PersonRow
from gateway.ports.store import Conflict, MailDevice, OutcomeUnknown, Store, StoreUnavailable, Writing
from tests.inventory.chain import Chain, names
from tests.inventory.events import TIKTOK, full
from tests.inventory.held_store import HeldStore
from tests.inventory.receiving import RULES
from tests.support.evidence_strategies import TIKTOK_BAN, denying

PHONES, LAPTOPS = 4, 2
"""People with a phone that has the app, and with a reported laptop only."""
FOR_GROUP = replace(TIKTOK_BAN, flag=Flag.REPORT_ONLY, rules=(FlagRule(Flag.ENFORCE, group="pilot"),))
EVERYBODY = [f"p{number}@example.com" for number in range(PHONES + LAPTOPS)]


@pytest.fixture
async def company(chain: Chain) -> Chain:
    """Everybody's app is reported, and the ban enforced for a group of nobody: that cuts nobody, and asks nobody."""
    for number, login in enumerate(EVERYBODY):
        if number < PHONES:
            await chain.write(MailDevice(login, f"phone{number}", 1.0, 2.0))
        claimed = [f"phone{number}"] if number < PHONES else []
        device = names(login, eas=claimed)
        await chain.post(full(1, (TIKTOK,), subject=f"d{number}", device=device))
    put_in_force(chain, replace(first_policy(1.0), bans=(FOR_GROUP,)))
    return chain


def put_in_force(chain: Chain, version: PolicyVersion) -> None:
    chain.policy = policy_of(version)


def people_of(chain: Chain, at_most: int | None, store: Store | None = None, now: float = 1e9) -> People:
    evidence = Evidence(store or chain.store, RULES, chain.publish, lambda: chain.policy)
    return People(evidence, lambda: now, lambda: at_most)


def rows(*groups: str, first: int = 0, last: int = PHONES + LAPTOPS) -> list[PersonRow]:
    return [PersonRow(login, groups) for login in EVERYBODY[first:last]]


def turned(done: Imported) -> tuple[int, int]:
    return done.newly_cut, done.newly_admitted


async def test_members_of_an_enforced_group_are_counted_and_the_audit_log_has_it(company: Chain) -> None:
    people = people_of(company, None)
    assert turned(await people.take(rows("pilot"), "olga", dry_run=True)) == (PHONES + LAPTOPS, 0)
    assert turned(await people.take(rows("pilot"), "olga")) == (PHONES + LAPTOPS, 0)
    async with company.store.read() as reading:
        told = [json.loads(each.entry) for each in await reading.audit_entries(0, 1000)]
    (entry,) = [each for each in told if each["kind"] == AuditKind.PEOPLE_IMPORTED]
    assert (entry["actor"], entry["details"]["newly_cut"], entry["details"]["newly_admitted"]) == ("olga", 6, 0)
    assert turned(await people.take(rows("sales"))) == (0, PHONES + LAPTOPS)


async def test_whom_the_fleet_brake_holds_is_cut_as_well(company: Chain) -> None:
    """By the age of their lists they would have no mail already, if the brake did not stop it."""
    version = replace(first_policy(1.0), bans=(FOR_GROUP,), unknowns=denying("stale"))
    put_in_force(company, version)
    people = people_of(company, None, now=3e9)
    assert turned(await people.take(rows("pilot"), dry_run=True)) == (0, 0)

    async def hold(writing: Writing) -> None:
        await writing.put_brake(Brake(0.0))

    await company.store.write(hold)
    assert turned(await people.take(rows("pilot"), dry_run=True)) == (PHONES + LAPTOPS, 0)


async def test_nobody_is_counted_whose_groups_mean_nothing_to_the_policy(company: Chain) -> None:
    assert turned(await people_of(company, 0).take(rows("sales"))) == (0, 0)
    exempt = Exemption("e1", "ann", "x", 0.0, 2e9, group="board")
    put_in_force(company, replace(first_policy(1.0), bans=(TIKTOK_BAN,), exemptions=(exempt,)))
    assert turned(await people_of(company, 0).take(rows("board", "sales"))) == (0, PHONES + LAPTOPS)


async def test_one_person_cuts_no_more_so_than_by_a_change_and_small_files_add_up(company: Chain) -> None:
    people = people_of(company, 3)
    assert (await people.take(rows("pilot", last=2), "olga", dry_run=True)).may_cut == 3
    await people.take(rows("pilot", last=2), "olga")
    # Whoever sends many requests hears before the first how much all of them may.
    assert [(await people.take(rows("pilot"), each, dry_run=True)).may_cut for each in ("Olga", "otto")] == [1, 3]
    words = "2 devices would be newly cut, 2 more by OLGA's imports of the last 24 hours; one person alone may cut 3 so"
    with pytest.raises(InvalidValue, match=words):
        await people.take(rows("pilot", first=2, last=4), "OLGA")
    assert (await company.record(EVERYBODY[2])).groups == frozenset()
    # What frees, and what cuts nobody, is not held up; nor is somebody else.
    await people.take(rows(last=2), "olga")
    await people.take(rows("sales"), "olga")
    await people.take(rows("pilot", first=2, last=4), "boris")


@pytest.mark.parametrize("late", [False, True], ids=["at once", "at the end"])
@pytest.mark.parametrize(
    "error",
    [StoreUnavailable("the disk is full"), Conflict("a login is taken"), InvalidValue("a name is too long")],
    ids=repr,
)
async def test_what_could_not_be_stored_has_cut_nobody(company: Chain, error: Exception, late: bool) -> None:
    held = HeldStore(company.store)
    people = people_of(company, 3, held)
    await people.take(rows("pilot", last=1), "olga")
    held.failing, held.failing_late = error, late
    with pytest.raises(type(error)):
        await people.take(rows("pilot", first=1, last=3), "olga")
    held.failing = None
    assert (await people.take(rows("pilot", first=1, last=3), "olga", dry_run=True)).may_cut == 2
    assert turned(await people.take(rows("pilot", first=1, last=3), "olga")) == (2, 0)
    assert (await people.take(rows("pilot"), "olga", dry_run=True)).may_cut == 0


async def test_what_may_have_been_stored_counts(company: Chain) -> None:
    held = HeldStore(company.store)
    people = people_of(company, 3, held)
    held.failing = OutcomeUnknown("no answer to a commit")
    with pytest.raises(OutcomeUnknown):
        await people.take(rows("pilot", last=2), "olga")
    held.failing = None
    assert (await people.take(rows("pilot", last=2), "olga", dry_run=True)).may_cut == 1


async def test_the_policy_of_the_day_decides(company: Chain) -> None:
    put_in_force(company, replace(first_policy(1.0), enforcement_on=False, bans=(FOR_GROUP,)))
    assert turned(await people_of(company, 0).take(rows("pilot"))) == (0, 0)
