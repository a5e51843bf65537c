"""People whom an earlier change cuts later, since a new report shows its app: they are told as those were before them.

Whom mail was refused says the workers' word of effects, which comes every few seconds. There is one notice for each
person and change, whoever writes it down first; it leaves with what waits of the mailing, or soon by itself. Whoever
was told of a cut by an earlier change of the same ban is not told again since somebody has edited the ban.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import structlog

from gateway.changes.newly_cut import bans_about
from gateway.changes.telling import Telling, TellSettings
from gateway.changes.what_was_found import LoadRecord, findings_by
from gateway.domain.audit import Subject
from gateway.domain.audit.entry import GATEPOST
from gateway.domain.bans import Flag
from gateway.domain.change import PolicyChange, State
from gateway.domain.notice import Mailing, MailingState, Notice, NoticeKind, Tell, mailing_moved
from gateway.domain.policy import PolicyVersion
from gateway.domain.policy_parts import FlagPart, Touch
from gateway.domain.verdict import Reason
from gateway.notices.addresses import address_of
from gateway.notices.compose import Composer
from gateway.notices.recipients import FINDINGS_AT_MOST, notice_to
from gateway.ports.store import Person, Reading, Store, Writing

log = structlog.get_logger()

K = TypeVar("K")
V = TypeVar("V")

REMEMBERED = 50_000
CHANGES_LOOKED_AT = 1_000
"""The newest ones; who is cut by an older one is not told by itself."""
IN_FORCE = frozenset({State.APPLYING, State.HALTED, State.APPLIED})


class ToldLater:
    """One per control process, where ``[notices] later`` is on."""

    def __init__(
        self,
        store: Store,
        composer: Composer,
        load_record: LoadRecord,
        telling: Telling,
        settings: TellSettings,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._composer = composer
        self._load_record = load_record
        self._telling = telling
        self._settings = settings
        self._now = now
        self._changes: OrderedDict[tuple[str, int], tuple[int, ...]] = OrderedDict()
        """Which changes are behind a ban in a policy version, the newest first."""
        self._done: OrderedDict[tuple[int, str], None] = OrderedDict()

    async def take(self, effects: Sequence[Subject]) -> int:
        """Write down who of these is to be told; how many that were. Raises ``StoreUnavailable``, ``Conflict``."""
        wanted: dict[tuple[int, ...], dict[str, None]] = {}
        for each in effects:
            told = each.details
            if told.get("reason") != Reason.BANNED_APP.value or not told.get("ban"):
                continue
            behind = await self._behind(str(told["ban"]), int(str(told.get("policy_version", 0))))
            if behind and (behind[0], each.login) not in self._done:
                wanted.setdefault(behind, {})[each.login] = None
        return sum([await self._tell(behind, list(logins)) for behind, logins in wanted.items()])

    async def _behind(self, ban: str, version: int) -> tuple[int, ...]:
        key = ban.casefold(), version
        if key not in self._changes:
            async with self._store.read() as reading:
                changes = await reading.policy_changes(CHANGES_LOOKED_AT)
            _remember(self._changes, key, tuple(each.number for each in changes if _is_behind(each, *key)))
        return self._changes[key]

    async def _tell(self, behind: tuple[int, ...], logins: Sequence[str]) -> int:
        number = behind[0]
        async with self._store.read() as reading:
            change, policy = await reading.policy_change(number), await reading.policy()
        if change is None or policy is None or change.state not in IN_FORCE:
            return 0
        if self._telling.how(change) is Tell.NEVER or not bans_about(change, policy):
            return 0
        notices, done = await self._store.read_at_once(partial(self._notices, change, policy, behind, logins))
        if notices:
            await self._store.write(partial(self._put, change, policy, notices))
            log.info("notices_planned", change=number, kind=NoticeKind.CUT.value, notices=len(notices))
        for login in done:
            _remember(self._done, (number, login), None)
        return len(notices)

    async def _notices(
        self,
        change: PolicyChange,
        policy: PolicyVersion,
        behind: tuple[int, ...],
        logins: Sequence[str],
        reading: Reading,
    ) -> tuple[Sequence[Notice], Sequence[str]]:
        """The notices, and of whom nothing is left to be looked at: the word of a cut alone tells nobody."""
        findings_of = findings_by(change, policy, self._load_record)
        about = Mailing(change.number, NoticeKind.CUT, self._now(), GATEPOST)
        people: dict[str, Person] = {}
        of: dict[str, str] = {}
        for login in logins:
            person = await reading.person_by_login(login)
            if person is None or not address_of(person):
                continue
            earlier = [await reading.notice(each, NoticeKind.CUT, person.person_id) for each in behind]
            if not any(earlier):
                people[person.person_id], of[login] = person, person.person_id
        found = await findings_of(reading, list(people))
        notices = [
            notice_to(self._composer, about, people[name], address_of(people[name]), tuple(each)[:FINDINGS_AT_MOST])
            for name, each in found.items()
            if each
        ]
        return notices, [login for login in logins if login not in of or found.get(of[login])]

    async def _put(
        self, change: PolicyChange, policy: PolicyVersion, notices: Sequence[Notice], writing: Writing
    ) -> None:
        present = await writing.mailing(change.number, NoticeKind.CUT)
        newest = await writing.policy_change(change.number)
        if newest is None or newest.state not in IN_FORCE:
            # Taken back meanwhile.
            return
        mailing = await self._begun(writing, change, policy) if present is None else self._going_on(present)
        if mailing is not None:
            await writing.put_mailing(mailing)
            await writing.add_notices(notices)

    async def _begun(self, writing: Writing, change: PolicyChange, policy: PolicyVersion) -> Mailing:
        now, bans = self._now(), bans_about(change, policy)
        return Mailing(
            change.number,
            NoticeKind.CUT,
            now,
            GATEPOST,
            MailingState.SENDING,
            starts_at=now + self._settings.hold_seconds,
            not_after=now + self._settings.hold_seconds + self._settings.expires_seconds,
            apps=tuple(ban.name for ban in bans),
            text=next((ban.text for ban in bans if ban.text), ""),
            life=await writing.incarnation(),
        )

    def _going_on(self, present: Mailing) -> Mailing | None:
        """With time for one more; None: it was taken back."""
        if present.state is MailingState.CANCELLED:
            return None
        latest = self._now() + self._settings.expires_seconds
        finished = present.state is MailingState.FINISHED
        following = (
            mailing_moved(present, MailingState.SENDING) if finished else replace(present, version=present.version + 1)
        )
        return replace(following, not_after=max(present.not_after, latest))


def _is_behind(change: PolicyChange, ban: str, version: int) -> bool:
    """Whether the change, in force by that version, enforces the ban, or has it recognise more apps."""
    by_then = change.state in IN_FORCE and any(each.policy_version <= version for each in change.done)
    return by_then and any(_cuts(touch, ban) for touch in change.touches)


def _cuts(touch: Touch, ban: str) -> bool:
    if touch.part == f"ban:{ban}":
        return touch.before is not None and touch.after is not None
    if touch.part != f"flag:{ban}" or not isinstance(touch.after, FlagPart):
        return False
    return Flag.ENFORCE in (touch.after.flag, *(rule.flag for rule in touch.after.rules))


def _remember(known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    if len(known) > REMEMBERED:
        known.popitem(last=False)
