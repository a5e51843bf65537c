"""Reports in the audit log: how many of each source were stored in each minute, and a digest over all of them.

Counted from the messages that the store remembers, each of which was written in the transaction of its report: so a
minute is told whole, also after a crash, and whoever kept the messages can make the digest again: SHA-256 over the
SHA-256 of each message, in ascending order. A minute is told when it can get no more, and one without reports not at
all. What was told stands in the store, so of several processes none tells it twice.
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
"""So long after its end a minute may still get a report that waited for its commit."""
SOURCES_TO_AN_ENTRY = 100
MINUTES_AT_ONCE = 10
"""In one unit of work."""
LOOKS_BACK_SECONDS = 86_400.0
"""Not longer than messages are remembered."""


class EvidenceTold:
    """One per control process; ``tell`` is called by who holds the lease."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    async def tell(self) -> int:
        """Write down the minutes that are over; how many reports these had. Raises ``StoreUnavailable``."""
        settled = (self._now() - SETTLES_SECONDS) // MINUTE * MINUTE
        async with self._store.read() as reading:
            told = await reading.evidence_told()
        begin, count = max(told, settled - LOOKS_BACK_SECONDS) // MINUTE * MINUTE, 0
        while begin < settled:
            end = min(settled, begin + MINUTES_AT_ONCE * MINUTE)
            async with self._store.read() as reading:
                messages = await reading.messages_between(begin, end)
            # Of quiet hours there is nothing to write.
            if messages:
                await self._store.write(partial(_write, [*_entries(messages)], told, end))
                told, count = end, count + len(messages)
            begin = end
        return count


async def _write(entries: Sequence[AuditEntry], told: float, end: float, writing: Writing) -> None:
    if await writing.evidence_told() != told:
        # Another process was faster.
        return
    for entry in entries:
        await writing.log_audit(entry)
    await writing.put_evidence_told(end)


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
