"""A login by a token that names another owner than the login does: both answer for it, and the strictest counts.

Some mail servers open the mailbox of the token's owner whatever name stands beside it, others open a colleague's or a
shared one for him. The device in his hand is his own in any case. Both questions are registered, judged at one moment,
and followed as long as the session lasts.
"""

from collections.abc import Callable
from typing import Protocol

from gateway.decision.decision_point import DecisionPoint
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Verdict
from gateway.proxies.verdict_watch import VerdictWatch

LOADS_MOST = 8
"""How often one of the two is loaded for a verdict, where the other's record changes meanwhile."""


class Turning(Protocol):
    """A session that ends when one of its verdicts turns."""

    def turned(self, verdict: Verdict, request: AccessRequest) -> None:
        """The verdict on ``request`` is ALLOW no longer. Called synchronously; must not raise."""
        ...


class TokenOwner:
    """The owner's part in a session (``LiveSession``)."""

    __slots__ = ("_decision", "_session", "_watch", "request")

    def __init__(self, session: Turning, request: AccessRequest, decision: DecisionPoint) -> None:
        """From here on a change of his verdict is heard of."""
        self._session = session
        self._decision = decision
        self._watch: VerdictWatch | None = None
        self.request = request
        decision.sessions.add(self)

    def verdict_turned(self, verdict: Verdict) -> None:
        """His verdict is ALLOW no longer (``LiveSession``)."""
        self._session.turned(verdict, self.request)

    def follow(self, now: Callable[[], float], *, every: float) -> None:
        """The session has begun: judge him regularly; at once what time alone has turned meanwhile."""
        self._watch = VerdictWatch(self, self._decision, now, every=every)
        self._watch.until(now())

    def end(self) -> None:
        """The session is over."""
        self._decision.sessions.discard(self)
        if self._watch is not None:
            self._watch.end()
            self._watch = None


async def strictest(
    decision: DecisionPoint, request: AccessRequest, owner: TokenOwner | None
) -> tuple[AccessRequest, Verdict]:
    """The strictest verdict of this moment, with the question that it answers; nothing is awaited behind it.

    While the record of the one is read, a change of the other may be heard of. So both are asked again until they
    answer in the same step: from memory, or as what was loaded last. Two answers may be older: where neither record can
    be read, both are by setting, of one try each; and where records change faster than they are read, the last answer
    of each counts after ``LOADS_MOST``. Both are registered: judged anew as soon as their record is there.
    """
    verdict = decision.judge(request)
    if owner is None:
        return request, verdict if verdict is not None else await decision.judge_loading(request)
    owners = decision.judge(owner.request)
    last, owners_last = verdict, owners
    unread = 0
    for _ in range(LOADS_MOST):
        if verdict is None:
            about = request
            verdict = last = await decision.judge_loading(request)
            owners = decision.judge(owner.request)
        elif owners is None:
            about = owner.request
            owners = owners_last = await decision.judge_loading(owner.request)
            verdict = decision.judge(request)
        else:
            break
        # What was loaded would be at hand: it was answered by setting.
        unread = unread + 1 if decision.judge(about) is None else 0
        if unread == 2:
            # One after the other, so both.
            break
    verdict, owners = verdict or last, owners or owners_last
    assert verdict is not None
    assert owners is not None
    return (owner.request, owners) if owners.effect > verdict.effect else (request, verdict)
