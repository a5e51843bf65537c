"""Who is who: imports of groups and aliases, beside people whom only a report has named."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import BindingState
from gateway.inventory.people import GROUP_LONGEST, Imported, PersonRow
from gateway.ports.store import Conflict, MailDevice, Person, PinnedBinding
from tests.inventory.chain import Chain, names
from tests.inventory.events import GMAIL, TIKTOK, full

ANN, SMITH, BOB = "ann@example.com", "a.smith@example.com", "bob@example.com"


def row(user: str, *groups: str, aliases: tuple[str, ...] | None = None) -> PersonRow:
    return PersonRow(user, groups, aliases)


async def people(chain: Chain) -> dict[str, Person]:
    async with chain.store.read() as reading:
        return {person.person_id: person for person in await reading.people()}


async def test_a_row_says_all_groups_of_a_user(chain: Chain) -> None:
    done = await chain.people.take([row("EXAMPLE\\Ann", "sales"), row("bob", "sales", " board ")])
    assert done == Imported(2, 0, 0, (ANN, BOB))
    assert await chain.told() == {ANN, BOB}
    assert (await chain.record(BOB)).groups == {"sales", "board"}
    done = await chain.people.take([row(ANN, "travel"), row(BOB, "board", "sales")])
    assert done == Imported(0, 1, 1, (ANN, BOB))
    # Only whose record became another is announced.
    assert await chain.told() == {ANN}
    assert (await chain.record(ANN)).groups == {"travel"}


async def test_a_row_per_membership(chain: Chain) -> None:
    await chain.people.take([row("ann", "sales"), row("bob", "a"), row("EXAMPLE\\ann", "board")])
    assert (await chain.record(ANN)).groups == {"sales", "board"}


async def test_a_row_per_membership_under_two_names_of_one_person(chain: Chain) -> None:
    """Whichever name a row uses, no membership is lost: bans are for groups."""
    await chain.people.take([row(ANN, aliases=(SMITH,))])
    for rows in ([row(ANN, "sales"), row(SMITH, "board")], [row(SMITH, "sales"), row(ANN, "board")]):
        done = await chain.people.take(rows)
        assert (done.added, done.changed + done.unchanged, done.people) == (0, 1, (ANN,))
        assert (await chain.record(ANN)).groups == {"sales", "board"}
        assert (await chain.record(SMITH)).person_id == ANN


async def test_a_user_row_of_an_alias_keeps_it(chain: Chain) -> None:
    await chain.people.take([row(ANN, aliases=(SMITH,))])
    await chain.people.take([row(ANN, "sales", aliases=("ann@old.example",)), row(SMITH, "board")])
    ann = (await people(chain))[ANN]
    assert set(ann.aliases) == {SMITH, "ann@old.example"}
    assert ann.groups == {"sales", "board"}


async def test_counting_changes_nothing(chain: Chain) -> None:
    rows = [row("ann", "sales", aliases=(SMITH,)), row("bob", "sales")]
    counted = await chain.people.take(rows, dry_run=True)
    assert (await people(chain), await chain.told()) == ({}, set())
    assert counted == await chain.people.take(rows)
    assert (await chain.people.take(rows, dry_run=True)).unchanged == 2


async def test_what_a_report_said_of_an_alias_belongs_to_the_person(chain: Chain) -> None:
    """A report that named the alias first has made a person of it, which must not stand in the way."""
    await chain.write(MailDevice(SMITH, "phone1", 1.0, 2.0))
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names(SMITH, eas=["phone1"])))
    assert await chain.told() == {SMITH}
    done = await chain.people.take([row(ANN, "sales", aliases=(SMITH,)), row(BOB, "sales")])
    assert done == Imported(2, 0, 0, (ANN, BOB), (SMITH,))
    assert await chain.told() == {ANN, SMITH, BOB}
    assert set(await people(chain)) == {ANN, BOB}
    for login in (ANN, SMITH):
        record = await chain.record(login)
        assert record.person_id == ANN
        assert record.groups == {"sales"}
        assert record.devices["phone1"].binding is BindingState.BOUND
        assert await chain.is_hit(login, "phone1")
    # And the next report goes on from there.
    await chain.post(full(2, (GMAIL,), subject="d1", device=names(SMITH, eas=["phone1"])))
    assert await chain.told() == {ANN, SMITH}
    assert not await chain.is_hit(ANN, "phone1")
    assert set(await people(chain)) == {ANN, BOB}


async def test_a_hit_stays_with_the_person_when_an_alias_is_found(chain: Chain) -> None:
    await chain.write(MailDevice(SMITH, "phone1", 1.0, 2.0))
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names(SMITH, eas=["phone1"])))
    await chain.ingest.check_out("agents", "d1")
    await chain.people.take([row(ANN, aliases=(SMITH,))])
    assert await chain.is_hit(ANN, "phone1")
    await chain.people.take([row(ANN, aliases=())])
    assert (await people(chain))[ANN].aliases == ()
    # Somebody else again, with the phone that was smith's all along.
    assert await chain.is_hit(SMITH, "phone1")


async def test_a_pin_of_an_alias_counts(chain: Chain) -> None:
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names(serial="S1")))
    await chain.pin(PinnedBinding(SMITH, "phone1", "agents", "d1", True, "root", 1.0))
    await chain.people.take([row(ANN, aliases=(SMITH,))])
    assert await chain.is_hit(ANN, "phone1")


async def test_two_imported_people_are_not_made_one_by_the_way(chain: Chain) -> None:
    """Each has groups of its own: the import has to say which are meant."""
    await chain.people.take([row(ANN, "sales"), row(BOB, "board")])
    await chain.told()
    with pytest.raises(Conflict):
        await chain.people.take([row("cy", "x"), row(ANN, "sales", aliases=(BOB,))])
    assert set(await people(chain)) == {ANN, BOB}
    assert await chain.told() == set()


async def test_somebody_with_groups_is_not_swallowed_either(chain: Chain) -> None:
    """A report made the person, but an import has said something about it since."""
    await chain.post(full(1, device=names(BOB)))
    await chain.people.take([row(BOB, "board")])
    with pytest.raises(Conflict):
        await chain.people.take([row(ANN, aliases=(BOB,))])


async def test_evidence_moves_with_an_alias(chain: Chain) -> None:
    await chain.people.take([row(ANN, aliases=(SMITH,)), row(BOB)])
    await chain.post(full(1, (TIKTOK,), subject="d1", device=names(SMITH, eas=["phone1"])))
    assert await chain.is_hit(ANN, "phone1")
    await chain.told()
    await chain.people.take([row(ANN, aliases=()), row(BOB, aliases=(SMITH,))])
    assert await chain.told() == {ANN, BOB, SMITH}
    assert await chain.is_hit(BOB, "phone1")
    # What was seen on ann's phone while it was hers stays open there.
    assert await chain.is_hit(ANN, "phone1")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (row(""), "row 2 .*empty"),
        (row("a@b@c"), "row 2 .*no mail address"),
        (row("x", ""), "row 2 .*a group's name"),
        (row("x", "a\tb"), "row 2 .*a group's name"),
        (row("x", "g" * (GROUP_LONGEST + 1)), "row 2 .*a group's name"),
        (row("x", aliases=("\x00",)), "row 2 .*characters that cannot be seen"),
    ],
)
async def test_all_rows_or_none(chain: Chain, wrong: PersonRow, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        await chain.people.take([row("ann", "sales"), wrong])
    assert await people(chain) == {}


async def test_where_notices_reach_somebody_is_told_without_touching_groups(chain: Chain) -> None:
    await chain.people.take([row("ann", "sales")])
    told = PersonRow("ann", None, None, "ann.lee@mail.example", "de-AT", "Europe/Vienna", "Ann Lee")
    done = await chain.people.take([told])
    assert (done.added, done.changed) == (0, 1)
    ann = (await people(chain))[ANN]
    assert (ann.address, ann.language, ann.time_zone, ann.display_name, ann.groups) == (
        "ann.lee@mail.example",
        "de-AT",
        "Europe/Vienna",
        "Ann Lee",
        frozenset({"sales"}),
    )
    await chain.people.take([row("ann", "board")])
    assert (await people(chain))[ANN].address == "ann.lee@mail.example"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"address": "Ann <ann@mail.example>"}, "is no address"),
        ({"address": "ann@mail.example\r\nBcc: all@x"}, "is no address"),
        ({"language": "German"}, "is no language"),
        ({"time_zone": "Berlin"}, "is no time zone"),
        ({"display_name": "Ann\r\nLee"}, "printable"),
    ],
)
async def test_what_cannot_be_used_is_refused_by_its_row(chain: Chain, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=f"row 2 .bob.: .*{words}"):
        await chain.people.take([row("ann", "sales"), replace(row("bob"), **wrong)])
    assert await people(chain) == {}
