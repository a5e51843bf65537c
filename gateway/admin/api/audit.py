"""The audit log: where it stands, and its entries page by page, of a time or of a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.admin.api.deps import ApiDeps, Deps, Viewing
from gateway.admin.api.moments import GivenMoment, epoch, shown
from gateway.changes.audit_since import number_before
from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import Value, decoded, moment_text
from gateway.domain.audit.stored import StoredEntry
from gateway.domain.identity import canonical_login
from gateway.ports.store import Reading, Writing

router = APIRouter(tags=["audit"])

PAGE = 1_000
LOOKED_AT = 20_000
"""Entries that one request looks through for those that are wanted."""
LAST_SECOND = 253_402_300_799.0
CLOCKS_APART_SECONDS = 60.0
"""Entries stand in the order of their commits; the clocks of several control processes may differ."""


class AuditState(BaseModel):
    """Where the log stands."""

    origin: str = Field(description="the log's name; empty: nothing was ever written")
    first: int = Field(description="number of the first entry that is kept")
    size: int = Field(description="number of the newest entry")
    signed_upto: int = Field(description="the newest entry under a signed checkpoint; 0: none is")
    signed_at: datetime | None
    checkpoint: str = Field(description="the newest signed checkpoint, a C2SP tlog-checkpoint; keep it elsewhere")


class AuditLine(BaseModel):
    """An entry."""

    seq: int
    chain: str = Field(description="hexadecimal: SHA-256 of the chain before and the entry's leaf")
    entry: dict[str, Any] = Field(description="as it was hashed, once it is written as canonical JSON (RFC 8785)")


class AuditPage(BaseModel):
    """Some entries."""

    entries: list[AuditLine]
    next_after: int | None = Field(description="give it as `after` for the next page; null at the end")
    size: int = Field(description="number of the newest entry")


@router.get("/audit")
async def audit_state(deps: Deps, operator: Viewing) -> AuditState:
    """Where the audit log stands, with its newest signed checkpoint."""
    async with deps.store.read() as reading:
        head = await reading.audit_head()
        newest = await reading.newest_audit_checkpoint()
        dropped = await reading.dropped_segments()
    return AuditState(
        origin=head.origin,
        first=dropped[-1].upto + 1 if dropped else 1,
        size=head.size,
        signed_upto=newest.size if newest else 0,
        signed_at=shown(newest.at) if newest else None,
        checkpoint=newest.note if newest else "",
    )


@router.get("/audit/entries")
async def audit_entries(
    deps: Deps,
    operator: Viewing,
    after: Annotated[int, Query(ge=0, lt=1 << 53, description="entries above this number")] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 200,
    since: Annotated[GivenMoment | None, Query(description="entries from then on")] = None,
    until: Annotated[GivenMoment | None, Query(description="entries before then")] = None,
    user: Annotated[str, Query(max_length=300, description="entries about this person only; audited itself")] = "",
) -> AuditPage:
    """Entries in order. That somebody reads them stands among them; a page may be empty and not the last."""
    logins = await _logins_of(deps, user) if user else ()
    # Whoever names a number as the first one reads as well.
    reading_of = operator.token_id, logins, since, until
    if not after or not deps.audit_readings.goes_on(reading_of, after):
        await _told(deps, operator.name, logins, since, until, after)
    async with deps.store.read() as reading:
        head = await reading.audit_head()
        wanted = _Wanted(
            [name.encode() for name in await reading.audit_pseudonyms(logins)] if user else None,
            "" if since is None else moment_text(since.timestamp()),
            "" if until is None else moment_text(until.timestamp()),
        )
        if since is not None and not after:
            after = await number_before(reading, moment_text(since.timestamp() - CLOCKS_APART_SECONDS), head.size)
        page = await _page(reading, wanted, after, limit, head.size, _end_of(until))
    deps.audit_readings.ended(reading_of, page.size if page.next_after is None else page.next_after)
    return page


class _Wanted:
    """Which entries are asked for."""

    def __init__(self, pseudonyms: Sequence[bytes] | None, since: str, until: str) -> None:
        self._pseudonyms = pseudonyms
        self._since = since
        self._until = until

    def has(self, row: StoredEntry, entry: dict[str, Any]) -> bool:
        at = str(entry.get("at", ""))
        if at < self._since or (self._until and at >= self._until):
            return False
        return self._pseudonyms is None or any(name in row.entry for name in self._pseudonyms)


async def _page(reading: Reading, wanted: _Wanted, after: int, limit: int, size: int, end: str) -> AuditPage:
    lines: list[AuditLine] = []
    looked_at = 0
    while looked_at < LOOKED_AT:
        rows = await reading.audit_entries(after, PAGE)
        if not rows:
            return AuditPage(entries=lines, next_after=None, size=size)
        for row in rows:
            entry = decoded(row.entry) or {"damaged": row.entry.hex()}
            if end and str(entry.get("at", "")) >= end:
                return AuditPage(entries=lines, next_after=None, size=size)
            if wanted.has(row, entry):
                lines.append(AuditLine(seq=row.seq, chain=row.chain.hex(), entry=entry))
            after = row.seq
            if len(lines) >= limit:
                return AuditPage(entries=lines, next_after=after, size=size)
        looked_at += len(rows)
    return AuditPage(entries=lines, next_after=after, size=size)


def _end_of(until: datetime | None) -> str:
    """Behind it there is nothing more to look for."""
    # The calendar ends with the year 9999.
    return "" if until is None else moment_text(min(until.timestamp() + CLOCKS_APART_SECONDS, LAST_SECOND))


async def _logins_of(deps: ApiDeps, user: str) -> tuple[str, ...]:
    login = canonical_login(user, deps.rules)
    async with deps.store.read() as reading:
        record = await deps.load_record(reading, login)
    return tuple(dict.fromkeys((login, *record.logins)))


async def _told(
    deps: ApiDeps, author: str, logins: Sequence[str], since: datetime | None, until: datetime | None, after: int
) -> None:
    details: dict[str, Value] = {
        name: moment_text(epoch(at) or 0.0) for name, at in (("since", since), ("until", until)) if at is not None
    }
    if after:
        details["after"] = after
    entry = AuditEntry(AuditKind.AUDIT_READ, author, tuple(map(Subject, logins[:1])), details)

    async def work(writing: Writing) -> None:
        await writing.log_audit(entry)

    await deps.store.write(work)
