"""Erasing a person: everything that stands under the person's names goes, in the store, the caches and the saved index.

One unit of work deletes it and tells the audit log, whose entries stay: their key goes, so that nobody can say any more
whom they mean. The caches are told like of any other change, then taken clean; the change log forgets the names last.
What comes afterwards is taken as new: a phone that goes on asking, an agent that goes on reporting.

A refused person must not come in by being forgotten: while a hit under enforcement is open, or where any refusal would
turn, erasing is refused unless it is said that the person is refused.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from gateway.changes.nameless import changes_naming, made_nameless, mailings_made_nameless
from gateway.changes.previews import without_people
from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import Value
from gateway.domain.bans import Flag
from gateway.domain.binding import claimed_logins
from gateway.domain.decide import decide
from gateway.domain.enforcement import flag_in_force
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import Inventory
from gateway.domain.policy import Policy
from gateway.domain.posture import open_hits
from gateway.domain.verdict import Effect
from gateway.inventory.consequences import Evidence, person_id_of
from gateway.inventory.records import load_record
from gateway.ports.state_cache import CacheUnavailable, PersonEraser
from gateway.ports.store import Reading, StoreUnavailable, Writing

log = structlog.get_logger()

MESSAGES_AT_MOST = 10_000
"""Of one device and its source that are looked for; a report every ten minutes makes a tenth of that in a week."""
SHORTEST = 8
"""A name below is found in too many ids of messages that are of others."""
_SIGNS = re.compile(r"[^A-Za-z0-9]+")
CHANGES_LOOKED_THROUGH = 10_000


@dataclass(frozen=True, slots=True)
class Erased:
    """What went, and what stays."""

    rows: Mapping[str, int]
    """By table, as far as something was there."""
    kept: tuple[str, ...]
    """What still names the person, or may, in whole sentences."""


@dataclass(slots=True)
class _Found:
    """What is to go, found by reading before the unit of work."""

    messages: dict[str, list[str]] = field(default_factory=dict)
    """Ids by source."""
    previews: list[tuple[int, str]] = field(default_factory=list)
    """Number and digest of each preview that names the person."""
    changes: list[int] = field(default_factory=list)
    """Numbers of those that name the person."""


class Eraser:
    """One for the whole control process."""

    def __init__(
        self,
        evidence: Evidence,
        cache: PersonEraser,
        rewrite_index: Callable[[], Awaitable[bool]],
        now: Callable[[], float],
    ) -> None:
        """``rewrite_index`` writes the saved impact index anew."""
        self._evidence = evidence
        self._cache = cache
        self._rewrite_index = rewrite_index
        self._now = now

    async def erase(self, login: str, author: str, reason: str, *, even_refused: bool = False) -> Erased | None:
        """Erase the person of a canonical login; None: nothing is known of anybody of that name.

        Safe to repeat: what a fault left undone is done by the next call. Raises ``InvalidValue`` where that would let
        a refused person in, ``StoreUnavailable``.
        """
        async with self._evidence.store.read() as reading:
            found = await self._look(reading, login)

        async def work(writing: Writing) -> tuple[Mapping[str, int], PersonRecord, list[int]]:
            await self._evidence.catch_up(writing)
            person_id = await person_id_of(writing, login)
            record = await load_record(writing, person_id, self._evidence.rules)
            if not even_refused:
                see_that_it_lets_nobody_in(record, self._evidence.policy(), self._now())
            told: dict[str, Value] = {"reason": reason, "even_refused": even_refused}
            rows, left = await self._delete(writing, record, found, author, told)
            return rows, record, left

        rows, record, left = await self._evidence.write(work)
        cleaned = await self._clean(record.logins)
        gone = {name: count for name, count in rows.items() if count}
        if not gone:
            return None
        log.info("person_erased", author=author, rows=gone)
        return Erased(gone, (*self._still_named(record, left), *cleaned, *_OUTSIDE))

    # --- before

    async def _look(self, reading: Reading, login: str) -> _Found:
        found = _Found()
        record = await load_record(reading, await person_id_of(reading, login), self._evidence.rules)
        for inventory in await self._own_inventories(reading, record):
            # Ids of messages have no other signs: agents make them of parts.
            parts = {part for name in (inventory.source_device, *record.logins) for part in _SIGNS.split(name)}
            texts = {inventory.source_device, *record.logins, *record.devices, *parts}
            for text in sorted(text for text in texts if len(text) >= SHORTEST):
                ids = await reading.messages_naming(inventory.source_id, text, MESSAGES_AT_MOST)
                found.messages.setdefault(inventory.source_id, []).extend(ids)
        for change in await reading.policy_changes(CHANGES_LOOKED_THROUGH):
            if change.preview is None:
                continue
            content = await reading.change_preview(change.number, change.preview.digest)
            if content is not None and without_people(content, record.logins) is not None:
                found.previews.append((change.number, change.preview.digest))
        found.changes = await changes_naming(reading, record.logins, CHANGES_LOOKED_THROUGH)
        return found

    async def _own_inventories(self, reading: Reading, record: PersonRecord) -> list[Inventory]:
        """Those that are about nobody else: they name this person alone, or nobody and are pinned to this person."""
        devices = (*record.devices.values(), *record.unbound)
        keys = dict.fromkeys((source.source_id, source.source_device) for each in devices for source in each.sources)
        found = []
        for key in keys:
            inventory = await reading.inventory(*key)
            pinned = {pin.person_id for pin in await reading.pins_of_inventory(*key) if pin.bound}
            if inventory is None:
                continue
            owners = {*claimed_logins(inventory, self._evidence.rules), *pinned}
            if owners and owners <= set(record.logins):
                found.append(inventory)
        return found

    # --- the unit of work

    async def _delete(
        self, writing: Writing, record: PersonRecord, found: _Found, author: str, told: Mapping[str, Value]
    ) -> tuple[Mapping[str, int], list[int]]:
        inventories = await self._own_inventories(writing, record)
        others = dict.fromkeys(await self._evidence.concerned(writing, *inventories))
        others.pop(record.person_id, None)
        person = await writing.person_by_login(record.person_id)
        names = (*record.logins, person.address) if person is not None else record.logins
        rows: dict[str, int] = {"inventories": len(inventories), "people": int(record.known)}

        async def change() -> None:
            for inventory in inventories:
                await writing.delete_inventory(inventory.source_id, inventory.source_device)
            await writing.delete_person(record.person_id)
            rows.update(await writing.erase_rows(record.logins))

        # Of this person nothing is to be left behind, not even what outlives its evidence elsewhere.
        await self._evidence.announced(writing, others, change)
        devices = [(each.source_id, each.source_device) for each in inventories]
        rows["past"] = await writing.erase_past(record.logins, devices)
        rows["messages"] = 0
        for source_id, ids in found.messages.items():
            rows["messages"] += await writing.erase_messages(source_id, list(dict.fromkeys(ids)))
        rows["previews"] = await _rewritten(writing, found, record.logins)
        rows["changes"], left = await made_nameless(writing, found.changes, record.logins, author, self._now())
        rows["mailings"] = await mailings_made_nameless(writing, names)
        writing.log_people(record.logins)
        rows["audit_keys"] = await _tell(writing, record, AuditEntry(AuditKind.PERSON_ERASED, author, (), told), rows)
        return rows, left

    # --- afterwards

    def _still_named(self, record: PersonRecord, left: Sequence[int]) -> Iterator[str]:
        version = self._evidence.policy().version
        if any(each.login in record.logins for each in version.exemptions):
            yield "an exemption in force names the person: remove it (gatepost exempt remove), then erase again"
        for number in left:
            yield (
                f"change {number} waits and names the person beside other things: reject it (gatepost change reject "
                f"{number}), then erase again"
            )

    async def _clean(self, logins: Sequence[str]) -> list[str]:
        """Take the names out of what the unit of work had to tell, and of what is kept beside the store; what stays."""
        kept = []

        async def blank(writing: Writing) -> int:
            return await writing.blank_changes(logins)

        try:
            await self._evidence.store.write(blank)
        except StoreUnavailable as error:
            kept.append(f"the change log still names the person ({error}): erase again")
        try:
            await self._cache.erase(logins)
        except CacheUnavailable as error:
            kept.append(f"the cache may still name the person ({error}): erase again, or it goes within a day")
        try:
            if not await self._rewrite_index():
                kept.append("the index of the fleet is being built: what was saved of it is deleted")
        except (OSError, StoreUnavailable) as error:
            kept.append(f"the saved index of the fleet may still name the person ({error}): erase again")
        try:
            if left := await self._evidence.store.scrub():
                kept.append(left)
        except StoreUnavailable as error:
            kept.append(f"the database's files were not cleaned up ({error}): erase again")
        return kept


_OUTSIDE = (
    "the audit log keeps its entries; nobody can say any more whom they mean",
    "inventory devices that name or are pinned to somebody else as well are kept: they are that person's",
    "policy versions that named the person in an exemption are never rewritten",
    "backups and the gateway's log files name the person for as long as you keep them",
)


def see_that_it_lets_nobody_in(record: PersonRecord, policy: Policy, now: float) -> None:
    """Raises ``InvalidValue`` where forgetting the person would forget an open hit, or turn a refusal."""
    for device in (*record.devices.values(), *record.unbound):
        for hit in open_hits(device, policy.index):
            flags = (flag_in_force(hit.ban, record.person_id, record.groups, each, now).flag for each in Protocol)
            if Flag.ENFORCE in flags:
                raise InvalidValue(
                    f"{record.person_id} is refused by ban {hit.ban.name}; erasing would forget that. "
                    "Say --even-refused if that is meant"
                )
    after = PersonRecord(record.person_id, known=False, logins=(record.person_id,))
    for request in _questions(record):
        was = decide(request, record, policy, now)
        if was.effect is Effect.DENY and decide(request, after, policy, now).effect is not Effect.DENY:
            raise InvalidValue(
                f"{record.person_id} is refused ({was.reason}) by {request.protocol}, and would not be any more. Say "
                "--even-refused if that is meant"
            )


def _questions(record: PersonRecord) -> Iterator[AccessRequest]:
    for protocol in Protocol:
        yield AccessRequest(record.person_id, "", protocol, IdentityStrength.USER_WIDE)
        for device_id in record.devices:
            yield AccessRequest(record.person_id, device_id, protocol, IdentityStrength.DEVICE_ID)


async def _tell(writing: Writing, record: PersonRecord, entry: AuditEntry, rows: Mapping[str, int]) -> int:
    """Write the entry under the pseudonyms that stood there, and delete their keys; how many there were."""
    pseudonyms = await writing.audit_pseudonyms(record.logins)
    if not pseudonyms and not any(rows.values()):
        return 0
    gone: dict[str, Value] = {name: count for name, count in rows.items() if count}
    subjects = tuple(Subject(login) for login in record.logins)
    # First: it needs the keys.
    await writing.log_audit(replace(entry, subjects=subjects, details={**entry.details, "rows": gone}))
    for login in record.logins:
        await writing.forget_audit_subject(login)
    return len(pseudonyms)


async def _rewritten(writing: Writing, found: _Found, logins: Sequence[str]) -> int:
    count = 0
    for number, digest in found.previews:
        # As it is now: an approval may have come since.
        content = await writing.change_preview(number, digest)
        without = without_people(content, logins) if content is not None else None
        if without is not None:
            await writing.put_change_preview(number, digest, without)
            count += 1
    return count
