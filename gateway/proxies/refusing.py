"""What a refused request is told.

A refusal says something about a phone, so it is told only to somebody whose credentials the mail server accepts; who
cannot prove them now is put off, whoever has wrong ones is asked again.
"""

from typing import NamedTuple, Protocol

from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.activesync import refusals
from gateway.protocols.activesync.requests import Credentials
from gateway.protocols.answer import Answer
from gateway.proxies.credential_check import CheckResult, CredentialChecks, Credibility
from gateway.proxies.device_credentials import DeviceCredentials
from gateway.proxies.simple import unauthorized


class Question(Protocol):
    """What a request asks, whatever its protocol."""

    @property
    def credentials(self) -> Credentials | None:
        """None: it has none; the mail server asks for them."""
        ...

    @property
    def request(self) -> AccessRequest | None:
        """What is judged; None: nothing."""
        ...

    def denied(self, verdict: Verdict) -> Answer:
        """The refusal in the protocol's own words."""
        ...


class Told(NamedTuple):
    """An answer to a request that is not let through."""

    answer: Answer
    outcome: str
    """For the metrics."""
    accepted: bool = False
    """The mail server has accepted the credentials."""
    delay: float = 0.0
    """Seconds to hold it back."""


class Refusing:
    """Finds the words; one per front."""

    def __init__(
        self,
        checks: CredentialChecks,
        pace: RefusalPace,
        devices: DeviceCredentials,
        retry_after_seconds: int,
        log: RefusalLog | None = None,
    ) -> None:
        self._checks = checks
        self._devices = devices
        self.pace = pace
        self.log = log or RefusalLog(pace)
        self._put_off = refusals.defer(retry_after_seconds)

    def at_once(self, asked: Question, verdict: Verdict) -> Told | None:
        """What is told, if that is known without asking the mail server."""
        assert asked.request is not None
        assert asked.credentials is not None
        if verdict.effect is Effect.DEFER:
            return self.deferred("deferred")
        if self._devices.is_wrong(asked.request, verdict):
            # As a wrong password: whoever has somebody else's certificate learns nothing of anybody's phone.
            return Told(unauthorized(()), "wrong_credential")
        known = self._checks.known(asked.request.login, asked.credentials)
        return None if known is None else self._told(asked, asked.request, verdict, known)

    async def after_check(self, asked: Question, verdict: Verdict, host: bytes) -> Told:
        """What is told, once the mail server was asked about the credentials."""
        assert asked.request is not None
        assert asked.credentials is not None
        request = asked.request
        result = await self._checks.check(request.login, asked.credentials, host, request.client_address)
        return self._told(asked, asked.request, verdict, result)

    def deferred(self, outcome: str) -> Told:
        """Come back later."""
        return Told(self._put_off, outcome)

    def _told(self, asked: Question, request: AccessRequest, verdict: Verdict, result: CheckResult) -> Told:
        if result.credibility is Credibility.REJECTED:
            return Told(unauthorized(result.challenges), "unauthenticated")
        if result.credibility is Credibility.UNKNOWN:
            return self.deferred("deferred")
        return self.refused(asked, verdict)

    def refused(self, asked: Question, verdict: Verdict) -> Told:
        """The refusal, for whom the mail server has accepted."""
        assert asked.request is not None
        self.log.write_down("refused", asked.request, verdict)
        delay = self.pace.delay(asked.request.login, asked.request.device_id)
        return Told(asked.denied(verdict), "refused", True, delay)
