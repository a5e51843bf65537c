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

    Whoever was judged first may turn while the other's record is read. He is registered: either his record is at hand,
    or he is judged anew as soon as it is.
    """
    verdict = decision.judge(request)
    if verdict is None:
        verdict = await decision.judge_loading(request)
    if owner is None:
        return request, verdict
    owners = decision.judge(owner.request)
    if owners is None:
        owners = await decision.judge_loading(owner.request)
        verdict = decision.judge(request) or verdict
    return (owner.request, owners) if owners.effect > verdict.effect else (request, verdict)
