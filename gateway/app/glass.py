"""Break-glass in the processes: each worker follows the journal by itself; control tells of it when it can.

A worker needs nothing but the file: neither store nor cache nor control process. The control process shows it in
``status`` and puts every line of the journal into the audit log once the store takes writes again.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from gateway.changes.explain import age_words
from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import Value
from gateway.ports.store import Conflict, Store, StoreUnavailable, Writing
from gateway.runtime.break_glass import JOURNAL, GlassAct, JournalUnusable, read_acts

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 1.0
AUDITED = "break-glass.audited"
"""Beside the journal: how many of its lines stand in the audit log."""


class Breakable(Protocol):
    """What enforces: the decision point."""

    async def break_glass(self, broken: bool) -> None:
        """Enforce nothing, or judge by the policy again."""
        ...


class Journal:
    """The lines of a journal, read again only when the file is another one than before."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._seen: tuple[int, int, int] | None = None
        self.acts: Sequence[GlassAct] = ()
        self.trouble = ""
        """Why it cannot be read; then what was read before counts, until it ends."""

    def look(self) -> None:
        """Look at the file."""
        try:
            found = os.stat(self._data_dir / JOURNAL, follow_symlinks=False)
            mark = (found.st_ino, found.st_size, found.st_mtime_ns)
            if mark != self._seen:
                self.acts = read_acts(self._data_dir)
                self._seen = mark
        except FileNotFoundError:
            self.acts, self._seen = (), None
        except (OSError, JournalUnusable) as error:
            self._note(str(error))
            return
        self._note("")

    def in_force(self, now: float) -> GlassAct | None:
        """The line by which enforcement is off; None: it is not."""
        return self.acts[-1] if self.acts and self.acts[-1].in_force(now) else None

    def _note(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.error("break_glass_unreadable", error=trouble)
        self.trouble = trouble


class GlassWatch:
    """Follows the journal for one worker; ``run`` must run."""

    def __init__(self, data_dir: Path, decision: Breakable, now: Callable[[], float] = time.time) -> None:
        self._journal = Journal(data_dir)
        self._decision = decision
        self._now = now
        self.ends_at = 0.0
        """When enforcement comes back by itself, epoch seconds; 0: the glass is whole."""

    async def look(self) -> None:
        """Look once, and judge everybody anew where it turned."""
        self._journal.look()
        act = self._journal.in_force(self._now())
        was, self.ends_at = self.ends_at, act.ends_at if act else 0.0
        if act is not None and not was:
            log.warning("glass_broken", by=act.by, reason=act.reason, hours_left=round(self._left / 3600, 1))
        elif act is None and was:
            log.warning("glass_whole_again")
        await self._decision.break_glass(act is not None)

    @property
    def _left(self) -> float:
        return self.ends_at - self._now()

    async def run(self) -> None:
        """Look each second, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_SECONDS)


class GlassBook:
    """The control process's side: says so in ``status``, and in the audit log; ``run`` must run."""

    def __init__(self, data_dir: Path, store: Store, now: Callable[[], float] = time.time) -> None:
        self._journal = Journal(data_dir)
        self._audited = data_dir / AUDITED
        self._store = store
        self._now = now
        self._trouble = ""
        self._told = 0
        """How many lines are told. Known without the file, which a full disk does not take."""
        self._marked: int | None = None
        """What the file said when it was looked at last."""

    async def run(self) -> None:
        """Look each second, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Look once. What cannot be told now stays where it is, and is told later."""
        self._journal.look()
        try:
            await self._tell()
        except (StoreUnavailable, Conflict):
            # The lookout says what is wrong with the store.
            return
        except OSError as error:
            self._note(f"{self._audited} cannot be read or written ({error.strerror}): let the gateway's user do so")
            return
        self._note("")

    def _note(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.error("break_glass_not_audited", error=trouble)
        self._trouble = trouble

    async def _tell(self) -> None:
        """Audit what is not yet. One that dies between the two tells a line twice rather than never."""
        acts = self._journal.acts
        if (marked := self._read_mark()) != self._marked:
            # At the beginning, or by another control process beside this one in an upgrade.
            self._told, self._marked = max(self._told, marked), marked
        if 0 < len(acts) < self._told:
            # Somebody moved the journal away: this is another one.
            self._told = 0
        for act in acts[self._told :]:
            entry = _entry(act)

            async def work(writing: Writing, entry: AuditEntry = entry) -> None:
                await writing.log_audit(entry)

            await self._store.write(work)
            self._told += 1
            with suppress(OSError):
                self._mark()
        self._mark()

    def _mark(self) -> None:
        """Note for the next life how many are told."""
        if self._marked != self._told:
            self._audited.write_text(str(self._told))
            self._marked = self._told

    def _read_mark(self) -> int:
        try:
            return max(0, int(self._audited.read_text()[:20]))
        except (FileNotFoundError, ValueError):
            return 0

    def sentences(self) -> list[str]:
        """Warnings for ``status``."""
        if self._journal.trouble:
            return [f"break-glass: {self._journal.trouble}"]
        act = self._journal.in_force(self._now())
        if act is None:
            return []
        why = f" ({act.reason})" if act.reason else ""
        return [
            f"the glass is broken: {act.by} switched all enforcement off on this machine{why}; it comes back by itself "
            f"in {age_words(act.ends_at - self._now())}, or by: gatepost flag set --global on --local"
        ]


def _entry(act: GlassAct) -> AuditEntry:
    details: dict[str, Value] = {"broken": act.broken, "at": round(act.at), "reason": act.reason}
    return AuditEntry(AuditKind.BREAK_GLASS, act.by, details=details)
