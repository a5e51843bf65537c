"""Which of the other ways to mail by HTTP are open, and for whom.

A rule is closed until it is opened: for networks, from which nothing is judged; for clients that show the certificate
of a device; or for everybody. The latter two are under the verdict: over the device of the certificate, or over all
devices of the user.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from gateway.domain.certificate import CertificateShown
from gateway.network.addresses import read_address
from gateway.protocols.webmail.paths import Rule
from gateway.proxies.credential_check import Elsewhere

VERDICT = "verdict"
"""The word that opens a rule for everybody whose devices are in order."""
CERTIFICATE = "certificate"
"""The word that opens one for who shows the certificate of a device that is in order."""
_WORDS = frozenset((VERDICT, CERTIFICATE))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class WebmailSettings:
    """What opens each rule (networks, ``VERDICT``, ``CERTIFICATE``), and where the DAV and JMAP servers are."""

    openings: dict[Rule, tuple[str, ...]] = field(default_factory=dict)
    dav_paths: tuple[str, ...] = ("/SOGo/dav", "/dav", "/caldav", "/carddav", "/principals")
    """The first one is where discovery leads (RFC 6764)."""
    jmap_paths: tuple[str, ...] = ("/jmap",)
    connection_bound: frozenset[Rule] = frozenset()
    """Rules under which NTLM and Negotiate pass, each client's connection with one of its own to the mail server."""
    bound_connections: int = 2_000
    """Of those, at most so many at a time."""
    bound_login_seconds: float = 15.0
    """For a client's next message of such a login."""


def credential_questions(settings: WebmailSettings) -> list[Elsewhere]:
    """How a mail server without ActiveSync can be asked about credentials: by what is open under a verdict."""
    asked = {
        Rule.DAV: [(b"PROPFIND", f"{path}/") for path in settings.dav_paths[:1]],
        Rule.JMAP: [(b"GET", f"{path}/{name}") for path in settings.jmap_paths[:1] for name in ("session", "")],
        Rule.EWS: [(b"GET", "/EWS/Exchange.asmx")],
    }
    return [
        Elsewhere(method, path.encode("ascii"))
        for rule, places in asked.items()
        if not _WORDS.isdisjoint(settings.openings.get(rule, ()))
        for method, path in places
    ]


class Opened(Enum):
    """How far a rule is open for one client."""

    CLOSED = "closed"
    JUDGED = "judged"
    UNJUDGED = "unjudged"


class Exposure:
    """The openings, ready to be asked."""

    def __init__(self, settings: WebmailSettings, trusted: Sequence[Network]) -> None:
        """``trusted``: front proxies, whose own addresses are no client's."""
        self._trusted = tuple(trusted)
        self._judged = {rule for rule, openings in settings.openings.items() if VERDICT in openings}
        self._certified = {rule for rule, openings in settings.openings.items() if CERTIFICATE in openings}
        self._networks = {
            rule: [ipaddress.ip_network(each) for each in openings if each not in _WORDS]
            for rule, openings in settings.openings.items()
        }

    def opened(self, rule: Rule, address: str, certificate: CertificateShown | None = None) -> Opened:
        """How far a rule is open for a client at ``address`` that has shown ``certificate``.

        A certificate without the field that should name its device opens nothing.
        """
        if self._is_within(address, self._networks.get(rule, [])) and not self._is_within(address, self._trusted):
            return Opened.UNJUDGED
        certified = rule in self._certified and certificate is not None and certificate.device_key != ""
        return Opened.JUDGED if certified or rule in self._judged else Opened.CLOSED

    @staticmethod
    def _is_within(address: str, networks: Sequence[Network]) -> bool:
        read = read_address(address) if networks else None
        return read is not None and any(read in network for network in networks)
