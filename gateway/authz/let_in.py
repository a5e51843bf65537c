"""Who was let in through an asker whose sessions can be ended: a live session each, judged again like any other.

Which sessions an asker has is not told to us. So whoever it was told to let in counts as connected, until the asker's
own list says otherwise or the time of its longest session has passed since it was let in or last seen there; bounded,
the oldest are forgotten first. Time alone turns a verdict without news of it: each is judged again once a minute. Who
could not be ended is followed on like that, no longer than if it had never been denied.
"""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection

import structlog

from gateway.authz.cutter import Cutter
from gateway.decision.decision_point import DecisionPoint
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Verdict

log = structlog.get_logger()

REMEMBERED_MOST = 100_000
"""Per worker and means."""
JUDGED_EVERY_SECONDS = 60.0
SETTLED_SECONDS = 10.0
"""Whoever was let in so short a while ago may not stand in the asker's list yet."""


class AskedSession:
    """``LiveSession`` of an asker. Compared by identity."""

    __slots__ = ("asker", "at", "in_vain", "key", "owner", "place", "request", "target")

    def __init__(
        self, owner: "LetIn", key: str, place: str, target: str, asker: str, request: AccessRequest, at: float
    ) -> None:
        self.owner = owner
        self.key = key
        self.place = place
        self.target = target
        self.asker = asker
        self.request = request
        self.at = at
        self.in_vain = False
        """It could not be ended for so long that this has been told; until it may be there again."""

    @property
    def by_the_user(self) -> bool:
        """Whether all devices of the user answer for it: nothing says by which one it came."""
        request = self.request
        return not request.device_id and request.credential is None and request.certificate is None

    @property
    def found(self) -> bool:
        """Whether the asker's own list has told of it, which it does again, and nobody has asked about it."""
        return self.key == self.place

    def verdict_turned(self, verdict: Verdict) -> None:
        """Cut it, if it is denied. "Cannot know now" ends nobody's session: it would end everybody's."""
        if verdict.effect is Effect.DENY:
            self.owner.turned(self, verdict)
        elif verdict.effect is Effect.ALLOW:
            self.in_vain = False


class LetIn:
    """Those of one means."""

    def __init__(
        self,
        decision: DecisionPoint,
        cutter: Cutter,
        *,
        remembered_seconds: float,
        most: int = REMEMBERED_MOST,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decision = decision
        self._cutter = cutter
        self._remembered_seconds = remembered_seconds
        self._most = most
        self._monotonic = monotonic
        self._sessions: OrderedDict[str, AskedSession] = OrderedDict()
        self._places: Counter[str] = Counter()
        """How many are remembered of each place that has any."""
        self._places_by_user: Counter[str] = Counter()
        """The same of those for which all devices of the user answer."""
        self._turn: list[str] = []
        """Keys that are still to be judged in this round."""
        self._swept_at = monotonic()
        self._listed_before = self._listed_at = -math.inf
        """Of whoever was let in before the first, the asker's own list has said at the second that it is there."""

    def now(self) -> float:
        """By the clock that all of this goes by."""
        return self._monotonic()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._sessions)

    def __contains__(self, key: str) -> bool:
        """Whether one is remembered."""
        return key in self._sessions

    def is_there(self, place: str) -> bool:
        """Whether anybody is remembered of it."""
        return place in self._places

    def is_followed_by_user(self, place: str) -> bool:
        """Whether one of it is remembered for which all devices of the user answer."""
        return place in self._places_by_user

    def note(
        self, key: str, target: str, asker: str, request: AccessRequest, *, place: str = "", seconds_ago: float = 0.0
    ) -> None:
        """Somebody was let in, ``seconds_ago``.

        ``key``: one for each question that is to be asked again; ``place``: what the asker's own list calls it (empty:
        ``key``); ``target``: what is cut, a user's name there, or a client's address and port.
        """
        at = self._monotonic() - seconds_ago
        known = self._sessions.pop(key, None)
        if known is not None and known.request.login == request.login:
            # What it is about is the same; where it comes from may have changed.
            known.request, known.at, known.in_vain = request, at, False
            self._sessions[key] = known
            return
        if known is not None:
            self._let_go(known)
        self._remember(AskedSession(self, key, place or key, target, asker, request, at))

    def _remember(self, session: AskedSession) -> None:
        if len(self._sessions) >= self._most:
            self._forget(next(iter(self._sessions)))
        self._sessions[session.key] = session
        for counted in self._counted(session):
            counted[session.place] += 1
        self._decision.sessions.add(session)

    def _counted(self, session: AskedSession) -> tuple[Counter[str], ...]:
        return (self._places, self._places_by_user) if session.by_the_user else (self._places,)

    def turned(self, session: AskedSession, verdict: Verdict) -> None:
        """It is denied from now on."""
        if self._sessions.get(session.key) is session:
            self._forget(session.key)
            self._cutter.cut(session, verdict)

    def follow_on(self, session: AskedSession) -> None:
        """One that was to be cut and is there still, unless it has come anew or its time is over."""
        if session.key not in self._sessions and not self._is_over(session, self._monotonic()):
            self._remember(session)

    def deny(self, key: str, verdict: Verdict) -> None:
        """Cut one that should not be there."""
        session = self._sessions.get(key)
        if session is not None:
            self.turned(session, verdict)

    def keep_only(self, there: Collection[str], seen_at: float) -> None:
        """Forget those whose places the asker's own list, asked for at ``seen_at``, does not name; the others stay."""
        until = seen_at - SETTLED_SECONDS
        self._listed_before, self._listed_at = until, seen_at
        for key in [key for key, each in self._sessions.items() if each.at < until and each.place not in there]:
            self._forget(key)

    def sweep(self) -> None:
        """About once a second: forget the oldest, judge some of the others again."""
        now = self._monotonic()
        while self._sessions:
            key, oldest = next(iter(self._sessions.items()))
            if not self._is_over(oldest, now):
                break
            self._forget(key)
        self._judge_some(now)

    def _is_over(self, session: AskedSession, now: float) -> bool:
        known_at = self._listed_at if session.at < self._listed_before else session.at
        return now - known_at >= self._remembered_seconds

    def _judge_some(self, now: float) -> None:
        passed, self._swept_at = now - self._swept_at, now
        due = int(len(self._sessions) * min(1.0, passed / JUDGED_EVERY_SECONDS)) + 1
        self._turn = self._turn or list(self._sessions)
        judged, self._turn = self._turn[-due:], self._turn[:-due]
        told = False
        with self._decision.afterwards.turn():
            for key in judged:
                session = self._sessions.get(key)
                if session is None:
                    continue
                try:
                    self._judge_again(session, now)
                except Exception:  # a mistake of ours over one must not keep the others from being judged
                    if not told:
                        log.exception("session_not_judged_again", login=session.request.login)
                    told = True

    def _judge_again(self, session: AskedSession, now: float) -> None:
        if self._is_over(session, now):
            # One that is followed on stands behind younger ones.
            self._forget(session.key)
            return
        verdict = self._decision.judge(session.request)
        # A record that is not in memory is read when it changes; time alone has to wait until it is asked for.
        if verdict is not None:
            session.verdict_turned(verdict)

    def _forget(self, key: str) -> None:
        self._let_go(self._sessions.pop(key))

    def _let_go(self, session: AskedSession) -> None:
        self._decision.sessions.discard(session)
        for counted in self._counted(session):
            counted[session.place] -= 1
            if not counted[session.place]:
                del counted[session.place]

    def close(self) -> None:
        """Forget all."""
        for key in tuple(self._sessions):
            self._forget(key)
