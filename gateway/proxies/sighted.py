"""Which devices are noted as seen: those whose user's credentials the mail server accepted, and no other."""

import json

from gateway.decision.sightings import SightingLog
from gateway.protocols.activesync import device_information
from gateway.protocols.activesync.commands import PARKING, Command
from gateway.protocols.activesync.identify import Asked
from gateway.protocols.activesync.versions import Version
from gateway.proxies.credential_check import CredentialChecks, Credibility

_SPELLED = {version: f"{version // 10}.{version % 10}" for version in Version}


class Sighted:
    """Notes devices; one per front."""

    def __init__(self, checks: CredentialChecks, sightings: SightingLog) -> None:
        self._checks = checks
        self._sightings = sightings

    def due_at(self, login: str, device_id: str) -> float:
        """From when on a success of the mail server is news (epoch seconds)."""
        return self._sightings.due_at(login, device_id)

    def served(self, asked: Asked, body: bytes) -> None:
        """The mail server has just answered with success; ``body``: of a Settings or Provision request, if known."""
        request, credentials = asked.request, asked.credentials
        if request is None or credentials is None:
            return
        command = asked.query.command
        if command is Command.PROVISION:
            # A back end with a wipe pending answers Provision before it looks at the password: no proof.
            known = self._checks.known(request.login, credentials)
            if known is None or known.credibility is not Credibility.ACCEPTED:
                return
        elif command not in PARKING or self._sightings.is_due(request.login, request.device_id):
            # Ping and Sync are most of all requests: of them one an hour is enough to know the credentials by.
            self._checks.accepted(request.login, credentials)
        self.proved(asked, body)

    def proved(self, asked: Asked, body: bytes = b"") -> None:
        """The mail server accepts the credentials."""
        request = asked.request
        assert request is not None
        told = device_information.read(body) if body else None
        self._sightings.record(
            login=request.login,
            device_id=request.device_id,
            device_type=request.device_type,
            user_agent=asked.user_agent.decode("latin-1"),
            protocol_version="" if asked.version is None else _SPELLED[asked.version],
            client_address=request.client_address,
            device_information=json.dumps(told) if told else "",
        )
