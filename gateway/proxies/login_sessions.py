"""Sessions that begin with a login, of IMAP, POP3 and SMTP alike: how many each user has, and how they end."""

from collections import Counter

import structlog

from gateway.domain.access import AccessRequest
from gateway.observability.metrics import Metrics

log = structlog.get_logger()


class LoginSessions:
    """Those of one front. ``protocol`` is the label of its figures."""

    def __init__(self, metrics: Metrics, protocol: str) -> None:
        self.of: Counter[str] = Counter()
        """How many there are of each login; nothing stays of one who has none."""
        self._protocol = protocol
        self._logins = metrics.counter(
            "gatepost_mail_logins_total", "Logins by IMAP, POP3 and SMTP, by their end", "protocol", "outcome"
        )
        self._ended = metrics.counter(
            "gatepost_mail_sessions_total", "Sessions of IMAP, POP3 and SMTP, by their end", "protocol", "how"
        )
        self._ended_early = metrics.counter(
            "gatepost_mail_ended_before_login_total", "Connections that we ended before a login", "protocol", "reason"
        )

        self._headers_refused = metrics.counter(
            "gatepost_proxy_headers_refused_total", "Connections of balancers without a PROXY header", "reason"
        )

    @property
    def count(self) -> int:
        """All of them."""
        return self.of.total()

    def begin(self, login: str) -> int:
        """One more of a user; how many there are now."""
        self.of[login] += 1
        return self.of[login]

    def end(self, login: str) -> None:
        """One less."""
        self.of[login] -= 1
        if self.of[login] <= 0:
            del self.of[login]

    def count_login(self, outcome: str) -> None:
        """A login has ended so."""
        self._logins.inc(self._protocol, outcome)

    def count_end(self, how: str) -> None:
        """A session has ended so."""
        self._ended.inc(self._protocol, how)

    def count_early_end(self, reason: str) -> None:
        """A connection was ended by us before a login."""
        self._ended_early.inc(self._protocol, reason)

    def put_off(self, request: AccessRequest, reason: str) -> None:
        """A bound of ours keeps somebody out for now, who may well be the user with the right password: say who."""
        self.count_login(reason)
        log.warning(
            "login_put_off",
            login=request.login,
            protocol=self._protocol,
            client=request.client_address,
            reason=reason,
        )

    def refuse_header(self, balancer: str, reason: str) -> None:
        """A connection of a balancer did not say for whom it is, and was closed."""
        self._headers_refused.inc(reason)
        log.warning("proxy_header_refused", part=self._protocol, balancer=balancer, reason=reason)
