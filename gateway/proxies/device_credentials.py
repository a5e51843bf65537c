"""Device credentials and client certificates at a login: is one wrong, and is a credential in use at two places.

A wrong one (or the certificate of another user) is known before the mail server is asked, and is answered as a wrong
password is; what the device behind a good one may is the verdict's to say. A credential can be copied: two sessions
with the same one from different addresses are told of, as far as this worker sees them. A phone that changes networks
looks the same for a moment.
"""

import time
from collections.abc import Callable

import structlog

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.refusal_log import shown_in
from gateway.domain.access import AccessRequest
from gateway.domain.shown import WRONG_LOGINS
from gateway.domain.verdict import Reason, Verdict
from gateway.network.addresses import counted_as
from gateway.observability.metrics import Metrics

log = structlog.get_logger()

TOLD_EVERY_SECONDS = 600.0
"""Of one credential."""
REMEMBERED_MOST = 10_000
LOOKED_AT_MOST = 50
"""Sessions of one user: more of them change nothing."""


class DeviceCredentials:
    """One per front."""

    def __init__(self, decision: DecisionPoint, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._decision = decision
        self._clock = clock
        self._told_at: dict[str, float] = {}
        self._wrong = metrics.counter(
            "gatepost_credentials_wrong_total", "Logins with a wrong or revoked device credential", "protocol"
        )
        self._others = metrics.counter(
            "gatepost_certificates_wrong_total", "Logins with the client certificate of another user", "protocol"
        )
        self._twice = metrics.counter(
            "gatepost_credentials_used_twice_total", "Sessions with a device credential in use elsewhere", "protocol"
        )

    async def are_wrong(self, request: AccessRequest) -> bool:
        """Whether a credential or certificate was shown that is wrong, revoked or another person's.

        Where the state cannot be read now it is not called wrong; the verdict then is that of the setting for it.
        """
        if request.credential is None and request.certificate is None:
            return False
        return self.is_wrong(request, await self._decision.judge_loading(request))

    def is_wrong(self, request: AccessRequest, verdict: Verdict) -> bool:
        """Whether the verdict says so; then it is written down."""
        if verdict.reason not in WRONG_LOGINS:
            return False
        by_certificate = verdict.reason is Reason.CERTIFICATE_INVALID
        (self._others if by_certificate else self._wrong).inc(request.protocol.value)
        told = {
            "login": request.login,
            **shown_in(request),
            "protocol": request.protocol.value,
            "client": request.client_address,
        }
        if by_certificate:
            log.warning("certificate_wrong", **told)
        else:
            log.warning("credential_wrong", **told)
        return True

    def used(self, request: AccessRequest) -> None:
        """A session with good credentials begins; it is not registered yet."""
        if request.credential is None:
            return
        for session in self._decision.sessions.some_of(request.login, LOOKED_AT_MOST):
            if _is_elsewhere(session.request, request.credential.id, counted_as(request.client_address)):
                self._tell(request, session.request)
                return

    def _tell(self, request: AccessRequest, other: AccessRequest) -> None:
        assert request.credential is not None
        self._twice.inc(request.protocol.value)
        now = self._clock()
        if now - self._told_at.get(request.credential.id, float("-inf")) < TOLD_EVERY_SECONDS:
            return
        if len(self._told_at) >= REMEMBERED_MOST:
            del self._told_at[next(iter(self._told_at))]
        self._told_at[request.credential.id] = now
        log.warning(
            "credential_used_twice",
            login=request.login,
            **shown_in(request),
            protocol=request.protocol.value,
            client=request.client_address,
            other=other.client_address,
        )


def _is_elsewhere(other: AccessRequest, credential_id: str, here: str) -> bool:
    same = other.credential is not None and other.credential.id == credential_id
    return same and counted_as(other.client_address) != here
