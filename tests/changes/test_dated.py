"""What begins or ends at a later date is guarded like what comes at once: whom a change turns when, and whom beside it.

A hundred phones of a group have a banned app; one person alone may turn fifty.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.changes import edits
from gateway.changes.applying import Applied, NotApplied, Rules
from gateway.changes.desk import Wanted
from gateway.domain.dated import AHEAD_SECONDS, MOST, as_at, pairs
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import Exemption, PolicyVersion
from tests.changes.office import ANN, Office, phone
from tests.support.evidence_strategies import NOW, TIKTOK_BAN

DAY = 86_400.0
START = NOW + 2 * DAY
"""Of these tests: what one person did before does not count."""
NOBODYS = replace(TIKTOK_BAN.matchers[0], value="com.example.nobodys")
SALES = Exemption("sales", "ann", "travels", START - DAY, START + 30 * DAY, group="sales")
CUT = "100 devices newly cut; one person alone may turn 50 within a day"
ADMITTED = "100 devices newly admitted; one person alone may turn 50 within a day"


async def begun(*edits_before: Callable[[PolicyVersion], PolicyVersion]) -> Office:
    people = [phone(number, banned=number < 100, groups=frozenset({"sales"})) for number in range(1100)]
    made = Office(people, Rules(second_person=False))
    await made.begin()
    for edit in edits_before:
        assert isinstance(await made.turn(edit), Applied)
    made.rules, made.now, made.previews.now = Rules(), START, START
    return made


def banned(version: PolicyVersion) -> PolicyVersion:
    return edits.add_ban(version, TIKTOK_BAN)


def banned_in_a_minute(version: PolicyVersion) -> PolicyVersion:
    return edits.add_ban(version, replace(TIKTOK_BAN, starts_at=START + 60))


def pending_for_nobody(version: PolicyVersion) -> PolicyVersion:
    return edits.add_ban(version, replace(TIKTOK_BAN, matchers=(NOBODYS,), starts_at=START + 60))


def exempted(*exemptions: Exemption) -> Callable[[PolicyVersion], PolicyVersion]:
    return lambda version: replace(version, exemptions=(*version.exemptions, *exemptions), summary="exempt")


def without_exemptions(version: PolicyVersion) -> PolicyVersion:
    return replace(version, exemptions=(), summary="nobody is exempt")


def logins(starts_at: float, ends_at: float) -> list[Exemption]:
    return [Exemption(f"x{n}", "ann", "x", starts_at, ends_at, login=f"p{n}@corp.example") for n in range(100)]


def put_off(version: PolicyVersion) -> PolicyVersion:
    """And it recognises more, so that it does not turn down only."""
    ban = replace(version.bans[0], matchers=(*TIKTOK_BAN.matchers, NOBODYS), starts_at=START + 3600)
    return replace(version, bans=(ban,), summary="put off")


def widened(version: PolicyVersion) -> PolicyVersion:
    ban = replace(version.bans[0], matchers=(*TIKTOK_BAN.matchers, NOBODYS))
    return replace(version, bans=(ban,), summary="more")


def both(*steps: Callable[[PolicyVersion], PolicyVersion]) -> Callable[[PolicyVersion], PolicyVersion]:
    def edit(version: PolicyVersion) -> PolicyVersion:
        for step in steps:
            version = step(version)
        return version

    return edit


@pytest.mark.parametrize(
    ("before", "edit", "sentence"),
    [
        ([], banned_in_a_minute, CUT),
        ([banned], put_off, ADMITTED),
        ([banned, exempted(SALES)], both(without_exemptions, exempted(*logins(START + 60, START + 30 * DAY))), CUT),
        ([banned, exempted(SALES)], both(without_exemptions, exempted(*logins(START, START + 60))), CUT),
        ([], both(banned_in_a_minute, exempted(*logins(START + 20 * DAY, START + 30 * DAY))), CUT),
        ([], both(banned, exempted(*logins(START, START + 60))), CUT),
        ([pending_for_nobody], widened, CUT),
        ([banned_in_a_minute, exempted(SALES)], without_exemptions, CUT),
    ],
    ids=[
        "a ban that begins later",
        "a ban that is put off",
        "exemptions that are put off",
        "exemptions that end sooner",
        "a ban that begins before those begin who are exempt from it",
        "a ban from which they are exempt for a minute",
        "a ban that waits for its date, widened",
        "those who are exempt from a ban that waits for its date",
    ],
)
async def test_one_person_alone_does_not_bring_it(
    before: list[Callable[[PolicyVersion], PolicyVersion]],
    edit: Callable[[PolicyVersion], PolicyVersion],
    sentence: str,
) -> None:
    made = await begun(*before)
    standing = await made.policy()
    refused = await made.turn(edit)
    assert isinstance(refused, NotApplied)
    assert refused.hits[0].sentence == sentence
    assert await made.policy() == standing
    await made.approve(refused.change.number)
    assert isinstance(await made.applier.apply(refused.change.number, "ann"), Applied)


@pytest.mark.parametrize(
    ("before", "edit"),
    [
        ([banned, exempted(SALES)], both(without_exemptions, exempted(replace(SALES, id="again", reason="stays")))),
        ([banned], exempted(*logins(START + 60, START + 30 * DAY)[:8])),
        ([], both(banned, exempted(*logins(START, START + AHEAD_SECONDS + 1)))),
        ([banned_in_a_minute], lambda version: replace(version, bans=(), summary="no ban")),
    ],
    ids=["another reason", "eight who will be exempt", "exempt for long", "a ban that has not begun, taken away"],
)
async def test_what_turns_few_is_one_persons(
    before: list[Callable[[PolicyVersion], PolicyVersion]], edit: Callable[[PolicyVersion], PolicyVersion]
) -> None:
    made = await begun(*before)
    done = await made.turn(edit)
    groups = {hit.guard for hit in done.hits} if isinstance(done, NotApplied) else set()
    assert groups <= {"exempts_group"}


async def test_a_change_that_comes_when_its_ban_begins_lets_nobody_in_between() -> None:
    made = await begun(banned)

    def later(version: PolicyVersion) -> PolicyVersion:
        ban = replace(version.bans[0], matchers=(*TIKTOK_BAN.matchers, NOBODYS), starts_at=START + 3600)
        return replace(version, bans=(ban,), summary="more")

    change = await made.desk.propose(ANN, later, Wanted(starts_at=START + 3600))
    assert change is not None
    _, found = await made.desk.preview(change.number, "ann")
    assert (found.measured.newly_cut, found.measured.newly_admitted) == (0, 0)


async def test_a_change_of_very_many_dates_is_refused_in_words() -> None:
    made = await begun()
    many = [replace(each, ends_at=START + 60 + n) for n, each in enumerate(logins(START, START + 60))]
    with pytest.raises(InvalidValue, match="at 100 different moments, and it is looked at for 15 at most"):
        await made.turn(exempted(*many))


def test_dates_of_others_are_looked_at_as_far_as_there_is_room() -> None:
    waiting = tuple(replace(TIKTOK_BAN, name=f"b{n}", starts_at=NOW + n) for n in range(1, 40))
    before = PolicyVersion(1, NOW, "ann", bans=waiting)
    after = replace(before, bans=(*waiting, replace(TIKTOK_BAN, starts_at=NOW + 100)))
    found = pairs(before, after, NOW, NOW)
    assert len(found) <= MOST
    assert any(other.bans[-1].starts_at is None for _, other in found)


def test_the_policy_of_a_moment() -> None:
    span = replace(TIKTOK_BAN, starts_at=NOW + 10, ends_at=NOW + 20)
    version = PolicyVersion(1, NOW, "ann", bans=(span,), exemptions=(replace(SALES, ends_at=NOW + 15),))
    assert as_at(version, NOW, NOW) is version
    begun_then = as_at(version, NOW + 12, NOW)
    assert (begun_then.bans[0].starts_at, begun_then.bans[0].flag) == (None, span.flag)
    assert as_at(version, NOW + 20, NOW).bans[0] is span
    ended = as_at(version, NOW + 30, NOW + 12)
    assert (ended.bans[0].flag, ended.bans[0].rules) == ("off", ())
