"""The desk where notices are ordered, looked at, stopped and let go on: what API and command line do ends here."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Mailing, Notice, NoticeKind
from gateway.notices import releasing
from gateway.notices.compose import Composer
from gateway.notices.planning import FindingsOf, Planned, Wanted, plan
from gateway.ports.store import Store


@dataclass(frozen=True, slots=True)
class Subject:
    """What the notices of a change are about."""

    people: AsyncIterator[str]
    """Whom the change cuts."""
    findings_of: FindingsOf
    apps: tuple[str, ...]
    text: str


class NoticeDesk:
    """One per control process that sends notices."""

    def __init__(
        self,
        store: Store,
        composer: Composer,
        subject_of: Callable[[int], Awaitable[Subject]],
        now: Callable[[], float],
        *,
        hold_seconds: float = 600.0,
        expires_seconds: float = 86_400.0,
    ) -> None:
        """``subject_of`` a change's number; raises ``InvalidValue`` where there is nothing to tell."""
        self._store = store
        self._composer = composer
        self._subject_of = subject_of
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
    ) -> Planned:
        """Write down the notices of one kind about a change; they are held from then on. Raises ``InvalidValue``."""
        if kind is NoticeKind.WARNING and deadline is None:
            raise InvalidValue("a warning names a deadline: from when mail is cut")
        subject = await self._subject_of(change)
        wanted = Wanted(
            kind,
            by,
            self._hold_seconds if hold_seconds is None else hold_seconds,
            self._expires_seconds,
            deadline,
            urgent,
            subject.apps,
            subject.text,
        )
        return await plan(self._store, self._composer, change, wanted, subject.people, subject.findings_of, self._now())

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
        return await releasing.resume(self._store, change, kind, by, self._now())

    async def resend(self, change: int, kind: NoticeKind, person_id: str, by: str) -> Notice:
        """Send one again on a person's word. Raises ``InvalidValue``, ``Conflict``."""
        return await releasing.resend(self._store, change, kind, person_id, by, self._now())

    async def _mailing(self, change: int, kind: NoticeKind) -> Mailing:
        async with self._store.read() as reading:
            found = await reading.mailing(change, kind)
        if found is None:
            raise InvalidValue(f"there are no {kind} notices of change {change}: gatepost notice list shows all")
        return found
