"""Who is who: people with aliases and groups, as an import states them.

A row replaces what was known of its user's groups; aliases are replaced where the row states some. Nothing here decides
about mail, but groups and aliases are what bans and exemptions go by, so every changed record is announced.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from zoneinfo import available_timezones

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import GATEPOST, Value
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules, canonical_login
from gateway.inventory.consequences import Evidence
from gateway.inventory.import_turns import ImportLimit, Turns, groups_that_count, turns_of
from gateway.inventory.records import load_record
from gateway.notices.addresses import is_address
from gateway.ports.store import Person, Reading, Writing

GROUP_LONGEST = 200
NAME_LONGEST = 200
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}")
IMPORT = "import"
"""The origin of people whom an import made."""


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One user of an import, in the words of its file."""

    user: str
    groups: tuple[str, ...] | None
    """None: the file does not say."""
    aliases: tuple[str, ...] | None = None
    address: str | None = None
    language: str | None = None
    time_zone: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, or would do."""

    added: int
    changed: int
    unchanged: int
    people: tuple[str, ...]
    """The ids of everybody that the rows named."""
    aliases: tuple[str, ...] = ()
    """Their other names, as the rows leave them: a name that is there twice would belong to two people."""
    newly_cut: int = 0
    """Devices, by what the policy in force has for groups (``import_turns``)."""
    newly_admitted: int = 0
    may_cut: int | None = None
    """How many devices whoever imports may newly cut so alone, before this import; None: any number."""


class People:
    """Imports people; one for the whole control process."""

    def __init__(
        self,
        evidence: Evidence,
        now: Callable[[], float] = time.time,
        at_most: Callable[[], int | None] = lambda: None,
    ) -> None:
        """``at_most``: devices that one person may cut alone within a day; None: any number."""
        self._evidence = evidence
        self._now = now
        self._limit = ImportLimit(at_most, now)

    async def take(self, rows: Sequence[PersonRow], author: str = GATEPOST, *, dry_run: bool = False) -> Imported:
        """Apply rows, all or none, as ``author`` says; ``dry_run`` only counts.

        Raises ``InvalidValue`` that names the row, or where that cuts more than one person may, ``Conflict`` when a
        login belongs to somebody else, and ``StoreUnavailable``.
        """
        stated = self._read(rows)
        turns = await self._turns(stated)
        may_cut = self._limit.left(author)
        if dry_run:
            async with self._evidence.store.read() as reading:
                return _with(turns, _counted(await _per_person(reading, stated)), may_cut)

        async def work(writing: Writing) -> Imported:
            done = _with(turns, await self._write(writing, stated), may_cut)
            if done.added or done.changed:
                told: dict[str, Value] = {"added": done.added, "changed": done.changed, "unchanged": done.unchanged}
                if turns != Turns():
                    told |= {"newly_cut": turns.cut, "newly_admitted": turns.admitted}
                await writing.log_audit(AuditEntry(AuditKind.PEOPLE_IMPORTED, author, details=told))
            return done

        with self._limit.taken(author, turns.cut):
            return await self._evidence.write(work)

    async def _turns(self, stated: Sequence["_Stated"]) -> Turns:
        """Looked at before anything is written: the store's one writer has no time for it."""
        policy = self._evidence.policy()
        named, turns = groups_that_count(policy.version), Turns()
        if not named:
            return turns
        async with self._evidence.store.read() as reading:
            # Whom the fleet brake holds has mail now.
            policy = replace(policy, ageing=(await reading.brake()).ageing)
            for known, each in await _per_person(reading, stated):
                person = each.applied_to(known)
                if not named.isdisjoint(person.groups ^ (known.groups if known else frozenset())):
                    record = await load_record(reading, person.person_id, self._evidence.rules)
                    turns += turns_of(record, person.groups, policy, self._now())
        return turns

    def _read(self, rows: Sequence[PersonRow]) -> list["_Stated"]:
        found: dict[str, _Stated] = {}
        for number, row in enumerate(rows, 1):
            try:
                stated = _stated(row, self._evidence.rules)
            except InvalidValue as error:
                raise InvalidValue(f"row {number} ({row.user[:80]}): {error}") from None
            earlier = found.get(stated.login)
            found[stated.login] = earlier.with_more(stated) if earlier else stated
        return list(found.values())

    async def _write(self, writing: Writing, stated: Sequence["_Stated"]) -> Imported:
        rows = await _per_person(writing, stated)
        silent: list[str] = []
        for known, each in rows:
            person = each.applied_to(known)
            if person == known:
                continue
            if known is not None and known.aliases == person.aliases:
                # Groups are no evidence: nothing binds anew, only the record is another.
                await writing.put_person(person)
                silent += (person.person_id, *person.aliases)
            else:
                await self._put(writing, known, person)
        if silent:
            writing.log_people(silent)
        return _counted(rows)

    async def _put(self, writing: Writing, known: Person | None, person: Person) -> None:
        """A new person, or one with other aliases: evidence may belong to somebody else from now on."""
        before = known.aliases if known else ()
        people = dict.fromkeys((person.person_id, *person.aliases, *before))
        only_named = [alias for alias in person.aliases if await _is_only_named(writing, alias)]

        async def change() -> None:
            for alias in only_named:
                await writing.delete_person(alias)
            await writing.put_person(person)

        await self._evidence.announced(writing, people, change)


@dataclass(frozen=True, slots=True)
class _Stated:
    """A row with canonical names."""

    login: str
    groups: frozenset[str] | None
    aliases: tuple[str, ...] | None
    traits: Mapping[str, str] = field(default_factory=dict)
    """What notices go by, as far as the row says."""

    def with_more(self, other: "_Stated") -> "_Stated":
        """A file may have a row per membership."""
        both = (*(self.aliases or ()), *(other.aliases or ()), other.login)
        aliases = tuple(dict.fromkeys(both)) if self.aliases is not None or other.aliases is not None else None
        groups = None
        if self.groups is not None or other.groups is not None:
            groups = (self.groups or frozenset()) | (other.groups or frozenset())
        return _Stated(self.login, groups, aliases, {**self.traits, **other.traits})

    def applied_to(self, known: Person | None) -> Person:
        if known is None:
            aliases = tuple(alias for alias in self.aliases or () if alias != self.login)
            return Person(self.login, aliases, self.groups or frozenset(), origin=IMPORT, **self.traits)
        groups = known.groups if self.groups is None else self.groups
        known = replace(known, groups=groups)
        for name, value in self.traits.items():
            known = replace(known, **{name: value})  # type: ignore[arg-type]
        if self.aliases is None:
            return known
        names = dict.fromkeys((*self.aliases, self.login))
        return replace(known, aliases=tuple(each for each in names if each != known.person_id))


def _stated(row: PersonRow, rules: IdentityRules) -> _Stated:
    login = canonical_login(row.user, rules)
    aliases = None
    if row.aliases is not None:
        named = dict.fromkeys(canonical_login(alias, rules) for alias in row.aliases)
        aliases = tuple(alias for alias in named if alias != login)
    groups = None if row.groups is None else frozenset(map(_group, row.groups))
    return _Stated(login, groups, aliases, _traits(row))


def _traits(row: PersonRow) -> Mapping[str, str]:
    """What is stated of them, checked. Raises ``InvalidValue``."""
    named = {name: getattr(row, name) for name in ("address", "language", "time_zone", "display_name")}
    stated = {name: value.strip() for name, value in named.items() if value is not None}
    if (address := stated.get("address")) and not is_address(address):
        raise InvalidValue(f"{address[:80]!r} is no address that mail can be sent to")
    if (language := stated.get("language")) and not _LANGUAGE.fullmatch(language):
        raise InvalidValue(f"{language[:80]!r} is no language: write en, de, es-MX")
    if (zone := stated.get("time_zone")) and zone not in available_timezones():
        raise InvalidValue(f"{zone[:80]!r} is no time zone: write Europe/Berlin, America/New_York")
    if (name := stated.get("display_name")) and (len(name) > NAME_LONGEST or not name.isprintable()):
        raise InvalidValue(f"a name has at most {NAME_LONGEST} printable characters")
    return stated


def _group(name: str) -> str:
    stripped = name.strip()
    if not stripped or len(stripped) > GROUP_LONGEST or not stripped.isprintable():
        raise InvalidValue(f"a group's name has 1 to {GROUP_LONGEST} printable characters")
    return stripped


async def _per_person(reading: Reading, stated: Sequence[_Stated]) -> list[tuple[Person | None, _Stated]]:
    """What the rows say of each person, who may stand there under several names."""
    found: dict[str, tuple[Person | None, _Stated]] = {}
    for each in stated:
        known = await reading.person_by_login(each.login)
        person_id = known.person_id if known else each.login
        earlier = found.get(person_id)
        found[person_id] = known, earlier[1].with_more(each) if earlier else each
    return list(found.values())


async def _is_only_named(reading: Reading, login: str) -> bool:
    """Whether a person is there only because a report named the login: nobody has said anything else of it."""
    person = await reading.person_by_login(login)
    if person is None or person.person_id != login:
        return False
    return person.origin != IMPORT and not person.aliases and not person.groups


def _with(turns: Turns, done: Imported, may_cut: int | None) -> Imported:
    return replace(done, newly_cut=turns.cut, newly_admitted=turns.admitted, may_cut=may_cut)


def _counted(rows: Sequence[tuple[Person | None, _Stated]]) -> Imported:
    after = [each.applied_to(known) for known, each in rows]
    added = sum(1 for known, _ in rows if known is None)
    unchanged = sum(1 for (known, _), person in zip(rows, after, strict=True) if person == known)
    people = tuple(person.person_id for person in after)
    aliases = tuple(alias for person in after for alias in person.aliases)
    return Imported(added, len(rows) - added - unchanged, unchanged, people, aliases)
