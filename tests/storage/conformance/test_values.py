"""Every store gives back what it was given."""

from dataclasses import replace
from functools import partial

import pytest

from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import DeviceKey
from gateway.domain.operator import ALL_ROLES, NamedOperator, Role
from gateway.domain.policy import first_policy
from gateway.ports.store import (
    Conflict,
    IssuedCredential,
    OperatorToken,
    Person,
    PinnedBinding,
    Store,
    StoredMessage,
    Writing,
)
from tests.support.stored_values import app, inventory, mail_device, person, source


async def test_a_new_store_is_empty(store: Store) -> None:
    async with store.read() as reading:
        assert await reading.sequence() == 0
        assert await reading.changes_after(0) == []
        assert len(await reading.incarnation()) >= 16
        assert await reading.policy() is None
        assert await reading.person_by_login("ann@corp.example") is None
        assert await reading.counts() == {
            "people": 0,
            "mail_devices": 0,
            "inventories": 0,
            "sources": 0,
            "changes": 0,
        }


async def test_incarnations_differ(store: Store) -> None:
    async with store.read() as one, store.read() as other:
        assert await one.incarnation() == await other.incarnation()


async def test_policies_count_up(store: Store) -> None:
    first = first_policy(100.0)

    async def two(writing: Writing) -> None:
        await writing.put_policy(first)
        await writing.put_policy(replace(first, number=2, summary="second"))

    await store.write(two)
    async with store.read() as reading:
        newest = await reading.policy()
        assert newest is not None
        assert newest.number == 2
        assert await reading.policy(1) == first
        assert await reading.policy(3) is None
        assert [version.number for version in await reading.policies()] == [2, 1]
        assert [version.number for version in await reading.policies(limit=1)] == [2]


@pytest.mark.parametrize("number", [0, 1, 3])
async def test_a_policy_number_is_the_next_one(store: Store, number: int) -> None:
    await store.write(lambda writing: writing.put_policy(first_policy(1.0)))
    wrong = replace(first_policy(1.0), number=number)
    with pytest.raises(Conflict):
        await store.write(lambda writing: writing.put_policy(wrong))


async def test_sources(store: Store) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_source(source("b"))
        await writing.put_source(source("a"))
        await writing.put_source(replace(source("a"), max_age=60.0))
        await writing.put_source(replace(source("gone"), removed_at=9.0))
        assert await writing.source("b") == source("b")

    await store.write(work)
    async with store.read() as reading:
        assert await reading.sources() == [replace(source("a"), max_age=60.0), source("b")]
        assert await reading.source("gone") == replace(source("gone"), removed_at=9.0)
        assert await reading.source("none") is None
        assert (await reading.counts())["sources"] == 2


async def test_messages(store: Store) -> None:
    early, late = StoredMessage("aa", "applied", 3, 10.0), StoredMessage("bb", "gap", 4, 20.0)

    async def work(writing: Writing) -> None:
        await writing.put_message("mdm", "1", early)
        await writing.put_message("mdm", "2", late)
        await writing.put_message("other", "1", late)

    await store.write(work)
    forgotten, _ = await store.write(lambda writing: writing.forget_messages(20.0))
    assert forgotten == 1
    async with store.read() as reading:
        assert await reading.message("mdm", "1") is None
        assert await reading.message("mdm", "2") == late
        assert await reading.message("other", "1") == late
        assert await reading.message("other", "2") is None


async def test_a_message_of_a_time_that_the_audit_log_tells_of_counts_as_of_the_next_moment(store: Store) -> None:
    early, late = StoredMessage("aa", "applied", 3, 10.0), StoredMessage("bb", "gap", 4, 20.0)

    async def work(writing: Writing) -> None:
        await writing.put_message("mdm", "before", early)
        await writing.put_evidence_told(15.0)
        await writing.put_message("mdm", "behind", early)
        await writing.put_message("mdm", "late", late)

    await store.write(work)
    await store.write(lambda writing: writing.put_message("mdm", "another unit's", early))
    async with store.read() as reading:
        names = ("before", "behind", "late", "another unit's")
        found = [await reading.message("mdm", name) for name in names]
    assert [each.received_at for each in found if each] == [10.0, 15.0, 20.0, 15.0]


async def test_inventories(store: Store) -> None:
    first = inventory("d1")
    await store.write(lambda writing: writing.put_inventory(first, added=first.apps))
    changed = replace(first, apps=(*first.apps[1:], app(9)), sequence=8)
    await store.write(lambda writing: writing.put_inventory(changed, (app(9),), (first.apps[0],)))
    await store.write(lambda writing: writing.put_inventory(inventory("d1", source="other")))
    async with store.read() as reading:
        assert await reading.inventory("mdm", "d1") == changed
        assert await reading.inventory("mdm", "d2") is None
        assert (await reading.counts())["inventories"] == 2


async def test_inventories_by_key(store: Store) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_inventory(inventory("b", keys=(DeviceKey("serial", "STRASSE"), DeviceKey("imei", "1"))))
        await writing.put_inventory(inventory("a", keys=(DeviceKey("serial", "straße"), DeviceKey("serial", "STRAßE"))))
        found = await writing.inventories_by_key("serial", "StraSSe")
        assert [each.source_device for each in found] == ["a", "b"]

    await store.write(work)
    await store.write(lambda writing: writing.put_inventory(inventory("a", keys=(DeviceKey("imei", "1"),))))
    async with store.read() as reading:
        assert [each.source_device for each in await reading.inventories_by_key("serial", "strasse")] == ["b"]
        assert [each.source_device for each in await reading.inventories_by_key("imei", "1")] == ["a", "b"]
        assert await reading.inventories_by_key("imei", "2") == []
    await store.write(lambda writing: writing.delete_inventory("mdm", "a"))
    await store.write(lambda writing: writing.delete_inventory("mdm", "never there"))
    async with store.read() as reading:
        assert [each.source_device for each in await reading.inventories_by_key("imei", "1")] == ["b"]
        assert await reading.inventory("mdm", "a") is None


async def test_people(store: Store) -> None:
    ann, bob = person("ann@x", "a@x", "ann@y"), person("bob@x")

    async def work(writing: Writing) -> None:
        await writing.put_person(ann)
        await writing.put_person(bob)
        assert await writing.person_by_login("a@x") == ann

    await store.write(work)
    async with store.read() as reading:
        assert await reading.person_by_login("ann@x") == ann
        assert await reading.person_by_login("ann@y") == ann
        assert await reading.person_by_login("x@y") is None
        assert await reading.people() == [ann, bob]
        assert await reading.people(limit=1) == [ann]
        assert await reading.people(after="ann@x") == [bob]


async def test_a_login_belongs_to_one_person(store: Store) -> None:
    await store.write(lambda writing: writing.put_person(person("ann@x", "a@x")))
    for taken in (person("bob@x", "a@x"), person("a@x"), person("bob@x", "ann@x")):
        with pytest.raises(Conflict, match=r"a@x|ann@x"):
            await store.write(partial(_put_person, taken))
    await store.write(lambda writing: writing.put_person(person("ann@x")))
    await store.write(lambda writing: writing.put_person(person("bob@x", "a@x")))
    async with store.read() as reading:
        assert await reading.person_by_login("a@x") == person("bob@x", "a@x")
        assert (await reading.counts())["people"] == 2


async def _put_person(who: Person, writing: Writing) -> None:
    await writing.put_person(who)


async def test_mail_devices(store: Store) -> None:
    ann1, ann2, bob1 = mail_device("ann", "1"), mail_device("ann", "2"), mail_device("bob", "1")

    async def work(writing: Writing) -> None:
        for device in (bob1, ann2, ann1, replace(ann1, last_seen_at=99.0)):
            await writing.put_mail_device(device)

    await store.write(work)
    seen_again = replace(ann1, last_seen_at=99.0)
    async with store.read() as reading:
        assert await reading.mail_devices("ann") == [seen_again, ann2]
        assert await reading.mail_devices("eve") == []
        assert await reading.all_mail_devices() == [seen_again, ann2, bob1]
        assert await reading.all_mail_devices(after=("ann", "1"), limit=1) == [ann2]
        assert await reading.all_mail_devices(after=("ann", "2")) == [bob1]
        assert (await reading.counts())["mail_devices"] == 3


async def test_pins(store: Store) -> None:
    pin = PinnedBinding("ann", "1", "mdm", "d1", True, "root", 5.0)
    other = PinnedBinding("ann", "2", "mdm", "d1", False, "root", 6.0)

    async def work(writing: Writing) -> None:
        await writing.put_pin(replace(pin, bound=False))
        await writing.put_pin(pin)
        await writing.put_pin(other)

    await store.write(work)
    async with store.read() as reading:
        assert await reading.pins_of_person("ann") == [pin, other]
        assert await reading.pins_of_inventory("mdm", "d1") == [pin, other]
        assert await reading.pins_of_inventory("mdm", "d2") == []
    await store.write(lambda writing: writing.delete_pin("ann", "1", "mdm", "d1"))
    await store.write(lambda writing: writing.delete_pin("eve", "1", "mdm", "d1"))
    async with store.read() as reading:
        assert await reading.pins_of_person("ann") == [other]


async def test_tombstones(store: Store) -> None:
    stones = (Tombstone(app(1), "mdm", 5.0), Tombstone(app(2), "mdm", 6.0))

    async def work(writing: Writing) -> None:
        await writing.put_tombstones("ann", "2", stones)
        await writing.put_tombstones("ann", "", stones[:1])

    await store.write(work)
    async with store.read() as reading:
        assert tuple(await reading.tombstones("ann", "2")) == stones
        assert tuple(await reading.tombstones("ann", "")) == stones[:1]
        assert tuple(await reading.tombstones("ann", "3")) == ()
        assert list(await reading.tombstoned_devices("ann")) == ["", "2"]
    await store.write(lambda writing: writing.put_tombstones("ann", "2", ()))
    async with store.read() as reading:
        assert list(await reading.tombstoned_devices("ann")) == [""]
        assert list(await reading.tombstoned_devices("bob")) == []


async def test_credentials(store: Store) -> None:
    one = IssuedCredential("aaaaaaaa", "ann", "phone1", "d1", "", "", "root", 5.0)
    two = IssuedCredential("bbbbbbbb", "bob", "credential:bbbbbbbb", "d2", "mdm", "x", "root", 6.0)
    three = IssuedCredential("cccccccc", "ann", "phone2", "d3", "", "", "root", 7.0)

    async def work(writing: Writing) -> None:
        for each in (three, two, one):
            await writing.put_credential(each)
        await writing.put_credential(replace(one, revoked_at=8.0))

    await store.write(work)
    ended = replace(one, revoked_at=8.0)
    async with store.read() as reading:
        assert await reading.credential("aaaaaaaa") == ended
        assert await reading.credential("dddddddd") is None
        assert await reading.credentials_of_person("ann") == [ended, three]
        assert await reading.credentials_of_person("eve") == []
        assert await reading.credentials() == [ended, two, three]
        assert await reading.credentials(after="aaaaaaaa", limit=1) == [two]


async def test_operators(store: Store) -> None:
    zoe = NamedOperator("zoe", frozenset({Role.APPROVER, Role.AUDITOR}), ("zoe@corp.example", "z"), False, 3.0, "admin")
    first = NamedOperator("admin", ALL_ROLES, first_start=True)

    async def work(writing: Writing) -> None:
        await writing.put_operator(zoe)
        await writing.put_operator(first)
        await writing.put_operator(replace(zoe, removed_at=9.0))
        assert await writing.operators() == [first, replace(zoe, removed_at=9.0)]

    await store.write(work)
    async with store.read() as reading:
        assert await reading.operators() == [first, replace(zoe, removed_at=9.0)]


async def test_tokens(store: Store) -> None:
    old = OperatorToken("t1", "ann", "d1", 10.0)
    new = OperatorToken("t2", "bob", "d2", 20.0, expires_at=30.0, role="viewer", reach="all", created_by="ann")

    async def work(writing: Writing) -> None:
        await writing.put_token(old)
        await writing.put_token(new)
        await writing.put_token(replace(old, revoked_at=11.0))

    await store.write(work)
    async with store.read() as reading:
        assert await reading.tokens() == [new, replace(old, revoked_at=11.0)]
        assert await reading.token_by_digest("d2") == new
        assert await reading.token_by_digest("d3") is None
    with pytest.raises(Conflict):
        await store.write(lambda writing: writing.put_token(OperatorToken("t3", "eve", "d1", 1.0)))
