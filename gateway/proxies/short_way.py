"""Where the short way begins: a whole request of the usual form, with nothing at all in its way.

Called at the end of a round of the loop, for each connection that brought something. A phone whose standing holds is
looked up by its own words; any other is identified and judged. Either way the exchange is registered as a live session
first. False means that nothing has happened: the octets are read step by step then, which finds out what is the matter.
"""

from typing import TYPE_CHECKING

from gateway.domain.access import AccessRequest, Protocol, strength_of
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_login
from gateway.domain.verdict import Effect
from gateway.protocols.activesync.commands import PARKING
from gateway.protocols.activesync.usual import AnswerForms, Recognised, recognise, usual_request
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.standing import Standing, Standings, mark_of
from gateway.proxies.usual_exchange import UsualExchange

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront

VALID_AT_LEAST_SECONDS = 10.0
"""A verdict that may change sooner by itself needs a timer, which an ordinary exchange has."""


class ShortWay:
    """One per front."""

    def __init__(self, front: "HttpFront") -> None:
        self.front = front
        self.decision = front.decision
        self.now = front.now
        self.answers = AnswerForms()
        self.standings = Standings()
        self._standings = self.standings.by_mark
        self._too_early = False

    def was_too_early(self) -> bool:
        """Whether what could not begin just now lacked but a connection that has become free in this same round.

        In the next one it can be used: a few microseconds later, where the long way costs some hundred. Asked once,
        right behind ``begin``: the answer is forgotten with it.
        """
        too_early, self._too_early = self._too_early, False
        return too_early

    def begin(self, client: ClientConnection, octets: bytes, now: float, clock: float) -> bool:
        """Forward a request if it can be; whether it was. ``now`` and ``clock``: the time by either clock."""
        recognised = recognise(octets)
        if recognised is None or now > self.decision.trusted_until:
            return False
        _, _, who, secret = recognised
        standing = self._standings.get(mark_of(who, secret) ^ client.certificate_mark)
        if standing is None or not standing.holds(self.decision, now + VALID_AT_LEAST_SECONDS):
            return self._begin_unknown(client, recognised, now, clock)
        exchange = UsualExchange(self, client, recognised, standing)
        standing.entry.used = True
        return self._forwarded(exchange, clock)

    def _begin_unknown(self, client: ClientConnection, recognised: Recognised, now: float, clock: float) -> bool:
        usual = usual_request(recognised)
        if usual is None:
            return False
        try:
            login = canonical_login(usual.user, self.front.rules)
        except InvalidValue:
            return False
        request = AccessRequest(
            login,
            usual.device_id,
            Protocol.ACTIVESYNC,
            strength_of(usual.device_id, certificate=client.certificate),
            usual.command,
            usual.device_type,
            client.address,
            certificate=client.certificate,
        )
        verdict = self.decision.judge(request)
        if verdict is None or verdict.effect is not Effect.ALLOW:
            return False
        entry = self.decision.cache.entries[login]
        standing = Standing(login, usual.device_id, entry, self.decision.policy, verdict)
        if not standing.holds(self.decision, now + VALID_AT_LEAST_SECONDS):
            return False
        return self._forwarded(UsualExchange(self, client, recognised, standing), clock)

    def _forwarded(self, exchange: UsualExchange, clock: float) -> bool:
        """Register it, which comes before the verdict counts (there is no await in between), and send it."""
        front, login = self.front, exchange.standing.login
        sessions = self.decision.sessions
        if sessions.add(exchange, login) <= front.settings.sessions_per_user:
            pool = front.upstreams.of(login)
            connection = pool.take_settled(clock)
            if connection is not None:
                exchange.forward(connection, clock)
                return True
            self._too_early = pool.has_idle
        sessions.discard(exchange, login)
        return False

    def answered(self, exchange: UsualExchange, now: float) -> None:
        """The mail server has answered a request with success, and the verdict stands."""
        standing, (_, command, who, secret) = exchange.standing, exchange.recognised
        self.decision.sessions.discard(exchange, standing.login)
        if command not in PARKING or standing.told_until <= now:
            self.front.sighted.served(exchange.asked(), b"")
            standing.told_until = self.front.sighted.due_at(standing.login, standing.device_id)
            self.standings.keep(mark_of(who, secret) ^ exchange.certificate_mark, standing)
        self.front.requests.inc(command, "forwarded")
