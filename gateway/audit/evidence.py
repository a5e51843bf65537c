"""Reports in the audit log: how many of each source were stored in each minute, and a digest over all of them.

Counted from the messages that the store remembers, each of which was written in the transaction of its report: so none
is left out, also after a crash, and whoever kept the messages can make the digest again: SHA-256 over the SHA-256 of
each message, in ascending order. The unit of work that tells a minute reads its messages, and what is stored later
counts as of a later minute (``put_message``), however long it waited or whatever its process's clock says. A minute
without reports is not told at all. What was told stands in the store, so of several processes none tells it twice.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256

import structlog

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import GATEPOST, Value, moment_text
from gateway.ports.audit_store import ToldMessage
from gateway.ports.store import Store, Writing

log = structlog.get_logger()

MINUTE = 60.0
SETTLES_SECONDS = 30.0
"""So long after its end a minute is told: what waited longer for its commit counts as of the next one."""
SOURCES_TO_AN_ENTRY = 100
MINUTES_AT_ONCE = 10
"""In one unit of work."""
MESSAGES_AT_ONCE = 20_000
"""Where there are more, a unit of work tells one minute: everybody who writes waits for it."""
QUIET_SECONDS = 3_600.0
"""After so long without reports it is noted that there were none: who comes late comes behind that."""
LOOKS_BACK_SECONDS = 86_400.0
"""Not longer than messages are remembered."""


class EvidenceTold:
    """One per control process; ``tell`` is called by who holds the lease."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._set_back_at: float | None = None
        """When the last minute was told under a clock that had been set back."""

    async def tell(self) -> int:
        """Write down the minutes that are over; how many reports these had. Raises ``StoreUnavailable``."""
        async with self._store.read() as reading:
            told = await reading.evidence_told()
        settled = self._settled(told)
        since = begin = max(told, settled - LOOKS_BACK_SECONDS) // MINUTE * MINUTE
        count = 0
        while begin < settled:
            end = min(settled, begin + MINUTES_AT_ONCE * MINUTE)
            async with self._store.read() as reading:
                seen = [each.received_at for each in await reading.messages_between(begin, end)]
            if len(seen) > MESSAGES_AT_ONCE:
                end = min(seen) // MINUTE * MINUTE + MINUTE
            # Of quiet hours there is nothing to write, now and then excepted.
            if seen or (end == settled and end - told >= QUIET_SECONDS):
                written, _ = await self._store.write(partial(_write, since, told, end))
                if written is None:
                    return count
                since, told, count = end, end, count + written
            begin = end
        return count

    def _settled(self, told: float) -> float:
        """Up to when minutes can be told."""
        now = self._now()
        if told <= now:
            self._set_back_at = None
            return (now - SETTLES_SECONDS) // MINUTE * MINUTE
        # What is stored now counts as of the minute behind what was told, until the clock gets there: one such minute
        # in two of the clock's, or that would be never.
        if self._set_back_at is None:
            log.warning("evidence_clock_set_back", seconds=round(told - now))
        elif 0 <= now - self._set_back_at < 2 * MINUTE:
            return told
        self._set_back_at = now
        return told + MINUTE


async def _write(since: float, told: float, end: float, writing: Writing) -> int | None:
    """How many reports were told; None: another process was faster."""
    if await writing.evidence_told() != told:
        return None
    # Read here, where nobody else stores any: some may have come since they were seen.
    messages = await writing.messages_between(since, end)
    for entry in _entries(messages):
        await writing.log_audit(entry)
    await writing.put_evidence_told(end)
    return len(messages)


def _entries(messages: Iterable[ToldMessage]) -> Iterable[AuditEntry]:
    minutes: dict[float, dict[str, list[ToldMessage]]] = {}
    for each in messages:
        minutes.setdefault(each.received_at // MINUTE * MINUTE, {}).setdefault(each.source_id, []).append(each)
    for begin, of_minute in sorted(minutes.items()):
        sources = [_told(name, found) for name, found in sorted(of_minute.items())]
        for place in range(0, len(sources), SOURCES_TO_AN_ENTRY):
            told: dict[str, Value] = {
                "from": moment_text(begin),
                "until": moment_text(begin + MINUTE),
                "sources": sources[place : place + SOURCES_TO_AN_ENTRY],
            }
            yield AuditEntry(AuditKind.EVIDENCE, GATEPOST, details=told)


def _told(source_id: str, messages: Sequence[ToldMessage]) -> dict[str, Value]:
    outcomes = Counter(each.status for each in messages)
    return {
        "source": source_id,
        "reports": len(messages),
        "outcomes": dict(sorted(outcomes.items())),
        "digest": digest_of(each.digest for each in messages),
    }


def digest_of(digests: Iterable[str]) -> str:
    """The digest over messages by theirs (hex), in whatever order they come."""
    found = sha256()
    for each in sorted(digests):
        found.update(bytes.fromhex(each))
    return found.hexdigest()
