"""Telling people of a change without anybody ordering it: a warning with a deadline before the cut, or word of the cut.

A change that newly cuts people and whose people are to be warned first does not come at once: in one unit of work the
warning begins and the change waits for the deadline. When a stage comes into force, the notices of those whom it cuts
begin in the transaction of its policy version. The texts are about apps: a change that is about none tells nobody.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from gateway.changes.audited import change_told
from gateway.changes.newly_cut import bans_about
from gateway.domain import change as lives
from gateway.domain.audit import AuditKind
from gateway.domain.change import PolicyChange, State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Mailing, MailingState, NoticeKind, Tell
from gateway.domain.policy import PolicyVersion
from gateway.notices.planning import Wanted, begin
from gateway.ports.store import Conflict, Writing

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TellSettings:
    """What the site wants. Times in seconds."""

    tell: Tell = Tell.NEVER
    sends: bool = False
    """Whether notices can leave at all."""
    warned_seconds: float = 172_800.0
    """From the warning to the cut."""
    hold_seconds: float = 600.0
    expires_seconds: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Before:
    """What comes before a stage."""

    until: float = 0.0
    """The deadline of the warning, epoch seconds."""
    begins: bool = False
    """People are to be warned now; False: they have been."""
    sentence: str = ""
    """Why it cannot come at all, and what to do."""


class Telling:
    """One per control process."""

    def __init__(
        self,
        settings: TellSettings = TellSettings(),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._now = now

    @property
    def warned_seconds(self) -> float:
        """From the warning to the cut."""
        return self._settings.warned_seconds

    def see_that_it_can(self, asked: Tell | None) -> None:
        """Raises ``InvalidValue`` where somebody wants people to be told and nothing is sent here."""
        if asked not in (None, Tell.NEVER) and not self._settings.sends:
            raise InvalidValue("no notices are sent: set [notices] sender and server, and start again")

    def how(self, change: PolicyChange, asked: Tell | None = None) -> Tell:
        """How the people of a change are told: as asked now, as the change says, as the site does."""
        if not self._settings.sends or change.action is not None:
            return Tell.NEVER
        return asked or change.tell or self._settings.tell

    def before(
        self, change: PolicyChange, policy: PolicyVersion, cut: int, warning: Mailing | None, asked: Tell | None
    ) -> Before | None:
        """What comes before a stage that newly cuts ``cut`` devices; None: nothing does."""
        if self.how(change, asked) is not Tell.WARNING_FIRST or not cut or not bans_about(change, policy):
            return None
        if warning is None:
            return Before(max(self._now() + self._settings.warned_seconds, change.starts_at or 0.0), begins=True)
        if warning.state is MailingState.STOPPED:
            number = change.number
            return Before(
                sentence=f"the warnings of change {number} are stopped ({warning.words}): gatepost notice resume "
                f"{number} warning, or gatepost apply {number} --tell with-the-cut"
            )
        deadline = warning.deadline or 0.0
        return Before(deadline) if max(self._now(), change.starts_at or 0.0) < deadline else None

    def at_once(self, change: PolicyChange, warning: Mailing | None, asked: Tell | None) -> PolicyChange:
        """The change without the moment that its warning has set, where somebody does not want to wait for it.

        A moment of its own stays: that is what was decided, and approved.
        """
        own, waits = change.own_starts_at, warning is not None and change.starts_at == warning.deadline
        if not waits or asked not in (Tell.WITH_THE_CUT, Tell.NEVER) or (own is not None and own > self._now()):
            return change
        return replace(change, starts_at=own)

    def judged_at(self, change: PolicyChange, warning: Mailing | None) -> float:
        """The moment for which the approval of a change must have been good: when people were warned of it."""
        scheduled = [step.at for step in change.history if step.state is State.SCHEDULED]
        waited = warning is not None and change.state is State.SCHEDULED
        return scheduled[-1] if waited and scheduled else self._now()

    async def put_off(
        self, writing: Writing, change: PolicyChange, policy: PolicyVersion, before: Before, asked: Tell | None, by: str
    ) -> PolicyChange:
        """In one unit of work: the warning begins, and the change waits. Raises ``Conflict``."""
        now = self._now()
        if await writing.policy_change(change.number) != change:
            raise Conflict(f"change {change.number} moved meanwhile: look at it again")
        own = change.starts_at if before.begins else change.own_starts_at
        waiting = replace(change, starts_at=before.until, own_starts_at=own, tell=asked or change.tell)
        if change.state in (State.PREVIEWED, State.APPROVED):
            waiting = lives.moved(waiting, State.SCHEDULED, now, by, "people are warned first")
        elif change.state is State.HALTED:
            waiting = lives.moved(waiting, State.APPLYING, now, by, "people are warned first")
        await writing.put_policy_change(waiting, now)
        if before.begins:
            await begin(writing, waiting, self._wanted(NoticeKind.WARNING, waiting, policy, by, before.until), now)
        await writing.log_audit(change_told(waiting, AuditKind.CHANGE_SCHEDULED, by, warned=before.begins))
        return waiting

    async def cut(self, writing: Writing, change: PolicyChange, version: PolicyVersion, cut: int, by: str) -> None:
        """In the unit of work that brings a stage into force: whoever it cuts is told.

        A warning whose deadline lies ahead does not leave any more: what it says is not so. No trouble with notices
        keeps a change from coming into force.
        """
        if not cut or not self._settings.sends:
            return
        warning = await writing.mailing(change.number, NoticeKind.WARNING)
        if warning is not None and (warning.deadline or 0.0) > self._now():
            await writing.cancel_mailings(change.number, [NoticeKind.WARNING], "the cut came before its deadline")
        if self.how(change) is Tell.NEVER or not bans_about(change, version):
            return
        wanted = replace(self._wanted(NoticeKind.CUT, change, version, by), waves=(version.number,))
        try:
            await begin(writing, change, wanted, self._now())
        except InvalidValue as error:
            log.error("notices_not_planned", change=change.number, kind=NoticeKind.CUT.value, reason=str(error))

    def _wanted(
        self, kind: NoticeKind, change: PolicyChange, policy: PolicyVersion, by: str, deadline: float | None = None
    ) -> Wanted:
        bans = bans_about(change, policy)
        told = self._settings
        text = next((ban.text for ban in bans if ban.text), "")
        apps = tuple(ban.name for ban in bans)
        return Wanted(kind, by, told.hold_seconds, told.expires_seconds, deadline, apps=apps, text=text)
