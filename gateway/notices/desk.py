"""The desk where notices are ordered, looked at, stopped and let go on: what API and command line do ends here."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.change import PolicyChange
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Mailing, Notice, NoticeKind
from gateway.notices import releasing
from gateway.notices.compose import Composer
from gateway.notices.planning import Wanted, begin, by_hand
from gateway.ports.store import Reading, Store, Writing


@dataclass(frozen=True, slots=True)
class About:
    """What the notices of a change are about."""

    apps: tuple[str, ...]
    """Names of the bans that the change is about."""
    text: str
    """The ban's own words to the reader."""


AboutOf = Callable[[Reading, PolicyChange], Awaitable[About]]
"""Raises ``InvalidValue`` where there is nothing to tell."""


class NoticeDesk:
    """One per control process that sends notices."""

    def __init__(
        self,
        store: Store,
        composer: Composer,
        about: AboutOf,
        now: Callable[[], float],
        *,
        hold_seconds: float = 600.0,
        expires_seconds: float = 86_400.0,
        troubles: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """``troubles``: why notices do not leave, in whole sentences."""
        self.troubles = troubles
        self._store = store
        self._composer = composer
        self._about = about
        self._now = now
        self._hold_seconds = hold_seconds
        self._expires_seconds = expires_seconds

    async def plan(
        self,
        change: int,
        kind: NoticeKind,
        by: str,
        *,
        deadline: float | None = None,
        urgent: bool = False,
        hold_seconds: float | None = None,
    ) -> Mailing:
        """Order the notices of one kind about a change; who gets them is written down from then on, and held then.

        Raises ``InvalidValue``.
        """
        if kind is NoticeKind.WARNING and deadline is None:
            raise InvalidValue("a warning names a deadline: from when mail is cut")
        hold = self._hold_seconds if hold_seconds is None else hold_seconds

        async def work(writing: Writing) -> Mailing:
            present = await writing.policy_change(change)
            if present is None:
                raise InvalidValue(f"there is no change {change}: gatepost change list shows them")
            about = await self._about(writing, present)
            told = (deadline, urgent, about.apps, about.text, by_hand(present, kind))
            wanted = Wanted(kind, by, hold, self._expires_seconds, *told)
            begun = await begin(writing, present, wanted, self._now())
            entry = {"change": change, "kind": kind.value, "act": "ordered"}
            await writing.log_audit(AuditEntry(AuditKind.NOTICE, by, details=entry))
            return begun

        begun, _ = await self._store.write(work)
        return begun

    def language_for(self, wanted: str) -> str:
        """The language that somebody would be told in."""
        return self._composer.language_for(wanted)

    async def shown(self, mailing: Mailing, notice: Notice) -> tuple[str, str]:
        """Subject and plain text of a notice as its reader gets it."""
        composed = self._composer.compose(mailing, notice, self._now())
        return composed.subject, composed.plain

    async def stop(self, change: int, kind: NoticeKind, by: str, words: str) -> Mailing:
        """Let nothing more go. Raises ``InvalidValue``."""
        mailing = await self._mailing(change, kind)
        await releasing.stop(self._store, mailing, words or "by hand", by)
        return await self._mailing(change, kind)

    async def resume(self, change: int, kind: NoticeKind, by: str) -> Mailing:
        """Let a stopped mailing go on. Raises ``InvalidValue``."""
        return await releasing.resume(self._store, change, kind, by, self._now(), self._expires_seconds)

    async def resend(self, change: int, kind: NoticeKind, person_id: str, by: str) -> Notice:
        """Send one again on a person's word. Raises ``InvalidValue``, ``Conflict``."""
        return await releasing.resend(self._store, change, kind, person_id, by, self._now(), self._expires_seconds)

    async def _mailing(self, change: int, kind: NoticeKind) -> Mailing:
        async with self._store.read() as reading:
            found = await reading.mailing(change, kind)
        if found is None:
            raise InvalidValue(f"there are no {kind} notices of change {change}: gatepost notice list shows all")
        return found
