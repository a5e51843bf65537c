"""Applies reports: one unit of work from the idempotency check to the change log, answered only after its commit.

Whatever transport a report came by, here it is judged: whether its source may speak for that device and those users,
whether it is new, and what follows from it for people's records. Safe to repeat: a message id that was answered with
success gets the same success again and changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import structlog

from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import Value
from gateway.domain.binding import claimed_logins
from gateway.domain.brake import Hold
from gateway.domain.identity import IdentityRules
from gateway.domain.inventory import Applied, Inventory, InventoryReport, Outcome, apply_report
from gateway.inventory.answers import Ack, AckStatus, Refusal, RefusalKind
from gateway.inventory.claims import CLAIMS_PER_NAME, derived_ids, too_much_claimed
from gateway.inventory.consequences import Evidence, Turned, person_id_of
from gateway.inventory.records import CANONICAL_TYPES, load_record, read_keys, with_canonical_keys
from gateway.inventory.report_brake import News, ReportBrake, ReportWaits, news_of
from gateway.ports.store import ForeseenReport, ForeseenWork, Person, Reading, Source, StoredMessage, Writing

log = structlog.get_logger()

AFTER_SUSPICION_SECONDS = 300
"""A collector that sent an unbelievable list should try again soon."""
LONGEST_INTERVAL_SECONDS = 86400
"""A full list is due at least daily, however long its source's evidence holds."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What forgetting a device removed."""

    inventories: int
    tombstones: int


class Ingest:
    """The way in for evidence; one for the whole control process."""

    def __init__(
        self,
        evidence: Evidence,
        now: Callable[[], float],
        claims_per_name: int = CLAIMS_PER_NAME,
        brake: ReportBrake | None = None,
    ) -> None:
        """``claims_per_name``: devices of one source for one user or DeviceId (``claims``)."""
        self._evidence = evidence
        self._now = now
        self._claims_per_name = claims_per_name
        self._brake = brake
        self.heard: dict[str, float] = {}
        """When a report of each source was last taken, epoch seconds."""

    async def receive(self, source: Source, message_id: str, digest: str, report: InventoryReport) -> Ack | Refusal:
        """Apply a report that ``source`` proved to have sent; returns after the commit.

        ``digest`` is the SHA-256 hex of the message as it came. Raises ``StoreUnavailable`` and ``Conflict``: nothing
        is stored then, and the sender should try again.
        """

        news: list[News] = []

        async def work(writing: Writing) -> Ack | Refusal:
            # It may be run again.
            news.clear()
            return await self._take(writing, source.name, message_id, digest, report, news)

        try:
            answer = await self._evidence.write(ForeseenWork(work, self._foreseen(source, message_id, report)))
        except ReportWaits as waits:
            answer = _waits(waits.hold)
        _log_answer(answer, source.name, report)
        if isinstance(answer, Ack):
            self.heard[source.name] = self._now()
            if self._brake is not None:
                await self._brake.taken(news)
        return answer

    def _foreseen(self, source: Source, message_id: str, report: InventoryReport) -> ForeseenReport:
        """By which names the report will be looked up, were it the first of its device."""
        read = read_keys(report.device_keys, self._evidence.rules)
        claimed = (*read.device_ids, *derived_ids(report.device_keys))
        return ForeseenReport(source.name, message_id, report.source_device, read.logins, claimed)

    async def check_out(self, source_id: str, source_device: str) -> bool:
        """Forget an inventory device that left its management; open hits stay as tombstones.

        Answers whether the device was known.
        """

        async def work(writing: Writing) -> bool:
            inventory = await writing.inventory(source_id, source_device)
            if inventory is None:
                return False
            concerned = await self._evidence.concerned(writing, inventory)

            async def change() -> None:
                await writing.delete_inventory(source_id, source_device)

            await self._evidence.announced(writing, concerned, change)
            return True

        known = await self._evidence.write(work)
        log.info("device_checked_out", source=source_id, device=source_device, known=known)
        return known

    async def forget_within(
        self, writing: Writing, person_id: str, device_id: str, author: str, *, alone: bool = False
    ) -> Forgotten:
        """Forget all that is known of a mail device, its open hits and tombstones included, inside a unit of work.

        ``device_id`` empty: the person's inventory devices without a mail device. What comes later is taken as new.
        ``alone``: it has an open hit, and nobody else could approve that.
        """
        forgotten = await self._forget(writing, person_id, device_id)
        told: dict[str, Value] = {"inventories": forgotten.inventories, "tombstones": forgotten.tombstones}
        subject = Subject(person_id, device_id)
        told.update({"alone": True} if alone else {})
        await writing.log_audit(AuditEntry(AuditKind.DEVICE_FORGOTTEN, author, (subject,), told))
        return forgotten

    async def _take(
        self,
        writing: Writing,
        source_id: str,
        message_id: str,
        digest: str,
        report: InventoryReport,
        news: list[News],
    ) -> Ack | Refusal:
        source = await writing.source(source_id)
        if source is None or source.removed_at is not None:
            return Refusal(RefusalKind.SOURCE_REMOVED, f"the source {source_id} was removed: stop sending")
        earlier = await writing.message(source_id, message_id)
        current = await writing.inventory(source_id, report.source_device)
        if earlier is not None:
            return _repeated(earlier, digest, current)
        report = _as_sent_by(source, report)
        if refused := _not_allowed(source, report, self._evidence.rules):
            return refused
        applied = apply_report(current, report, source.max_scope, self._now())
        if refused := _not_applicable(applied, current, report):
            return refused
        if applied.outcome is not Outcome.STALE and applied.inventory is not None:
            inventory = with_canonical_keys(applied.inventory, self._evidence.rules)
            if refused := await self._claims_too_much(writing, source, current, inventory):
                return refused
            turned = await self._store_evidence(writing, source, current, inventory, applied)
            if self._brake is not None:
                news += news_of(source.name, applied, turned, self._evidence.policy(), self._now())
                self._brake.see_that_it_may_come(news)
        ack = _acknowledged(applied, source, report, self._evidence.rules)
        message = StoredMessage(digest, ack.status.value, ack.sequence, self._now())
        await writing.put_message(source_id, message_id, message)
        return ack

    async def _claims_too_much(
        self, reading: Reading, source: Source, current: Inventory | None, inventory: Inventory
    ) -> Refusal | None:
        beyond = await too_much_claimed(reading, current, inventory, self._evidence.rules, self._claims_per_name)
        if not beyond:
            return None
        sentence = (
            f"the source {source.name} names {beyond}: have old ones forgotten (gatepost device forget), or allow more "
            "by [inventory] claims_per_name"
        )
        return Refusal(RefusalKind.TOO_MANY_CLAIMS, sentence)

    async def _store_evidence(
        self, writing: Writing, source: Source, current: Inventory | None, inventory: Inventory, applied: Applied
    ) -> Turned:
        concerned = await self._evidence.concerned(writing, current, inventory)

        async def change() -> None:
            await self._make_people(writing, inventory, source)
            await writing.put_inventory(inventory, applied.added, applied.removed, before=current)

        return await self._evidence.announced(writing, concerned, change)

    async def _make_people(self, writing: Writing, inventory: Inventory, source: Source) -> None:
        """A report that names a user makes the person."""
        for login in claimed_logins(inventory, self._evidence.rules):
            if await writing.person_by_login(login) is None:
                await writing.put_person(Person(login, origin=source.name))

    async def _forget(self, writing: Writing, login: str, device_id: str) -> Forgotten:
        person_id = await person_id_of(writing, login)
        record = await load_record(writing, person_id, self._evidence.rules)
        device = record.devices.get(device_id)
        shown = ((device,) if device else ()) if device_id else record.unbound
        pinned = {
            (pin.source_id, pin.source_device)
            for name in record.logins
            for pin in await writing.pins_of_person(name)
            if pin.bound and pin.device_id == device_id
        }
        inventories = []
        for source in (source for each in shown for source in each.sources):
            inventory = await writing.inventory(source.source_id, source.source_device)
            # Another claimant's inventory is somebody else's evidence.
            if inventory is not None and (
                (source.source_id, source.source_device) in pinned
                or not set(claimed_logins(inventory, self._evidence.rules)).isdisjoint(record.logins)
            ):
                inventories.append(inventory)
        concerned = {person_id: None} | dict.fromkeys(await self._evidence.concerned(writing, *inventories))

        async def change() -> None:
            for inventory in inventories:
                await writing.delete_inventory(inventory.source_id, inventory.source_device)
            for name in record.logins:
                await writing.put_tombstones(name, device_id, ())
                await writing.delete_mail_device(name, device_id)

        await self._evidence.announced(writing, concerned, change, forgotten=(person_id, device_id))
        return Forgotten(len(inventories), sum(len(each.tombstones) for each in shown))


def _repeated(earlier: StoredMessage, digest: str, current: Inventory | None) -> Ack | Refusal:
    if earlier.digest != digest:
        return Refusal(RefusalKind.REUSED_ID, "another message was sent with this id before: use a new id per message")
    return Ack(AckStatus.DUPLICATE, current.sequence if current else earlier.sequence)


def _as_sent_by(source: Source, report: InventoryReport) -> InventoryReport:
    """Nobody speaks for another source, and only Gatepost writes canonical keys."""
    keys = tuple(key for key in report.device_keys if key.type not in CANONICAL_TYPES)
    return replace(report, source_id=source.name, device_keys=keys)


def _not_allowed(source: Source, report: InventoryReport, rules: IdentityRules) -> Refusal | None:
    if not fnmatchcase(report.source_device, source.devices):
        sentence = f"the source {source.name} may report for devices {source.devices}, not for {report.source_device}"
        return Refusal(RefusalKind.DEVICE_NOT_ALLOWED, sentence)
    for login in read_keys(report.device_keys, rules).logins if source.user else ():
        if not fnmatchcase(login, source.user):
            sentence = f"the source {source.name} may name users {source.user}, not {login}"
            return Refusal(RefusalKind.USER_NOT_ALLOWED, sentence)
    return None


def _not_applicable(applied: Applied, current: Inventory | None, report: InventoryReport) -> Refusal | None:
    if applied.outcome is Outcome.FUTURE:
        sentence = "the report was generated in the future: set the clock of the device and send a new report"
        return Refusal(RefusalKind.FUTURE, sentence)
    if applied.outcome is Outcome.GAP:
        if current is None:
            why = "does not fit, nothing is stored for the device"
        elif report.base_sequence != current.sequence:
            why = f"does not fit, the stored sequence is {current.sequence}"
        elif report.boot_id != current.boot_id:
            why = "does not fit, the list that is stored is another installation's"
        else:
            why = "names an app of which there are several, or leaves too many apps"
        return Refusal(RefusalKind.GAP, f"this delta {why}: send a full report")
    return None


def _waits(hold: Hold) -> Refusal:
    return Refusal(
        RefusalKind.HELD,
        f"reports of the source {hold.source_id} like this one wait, as too many came at once: an operator lets them "
        "go (gatepost brake release)",
    )


def _acknowledged(applied: Applied, source: Source, report: InventoryReport, rules: IdentityRules) -> Ack:
    assert applied.inventory is not None
    suspicious = applied.outcome is Outcome.SUSPICIOUS
    interval = AFTER_SUSPICION_SECONDS if suspicious else min(int(source.max_age / 2), LONGEST_INTERVAL_SECONDS)
    return Ack(
        AckStatus.STALE if applied.outcome is Outcome.STALE else AckStatus.APPLIED,
        applied.inventory.sequence,
        next_report_seconds=interval,
        scope_capped_to=source.max_scope if applied.scope_capped else None,
        suspicious=suspicious,
        ignored_ids=read_keys(report.device_keys, rules).unreadable,
    )


def _log_answer(answer: Ack | Refusal, source_id: str, report: InventoryReport) -> None:
    where = {"source": source_id, "device": report.source_device}
    if isinstance(answer, Refusal):
        log.warning("report_refused", reason=answer.kind.value, **where)
    elif answer.suspicious:
        log.warning("report_suspicious", apps=len(report.apps), **where)
    else:
        log.info("report_taken", status=answer.status.value, apps=len(report.apps), **where)
