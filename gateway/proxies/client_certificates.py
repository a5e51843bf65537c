"""The client certificate of a connection as the settings have it read; asked once, when the connection stands.

One for each worker. ``reload`` reads the list of revoked certificates again and has the decision point end the sessions
that came by one of them, whatever they speak; a connection on which nothing is judged is closed by its front's sweep,
which asks ``has_ended``.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from typing import Literal

import structlog

from gateway.decision.decision_point import DecisionPoint
from gateway.domain.certificate import CertificateShown, key_named
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules, canonical_login
from gateway.network.client_certificate import Issuers, PeerCertificate, Revoked, peer_certificate
from gateway.network.tls import TlsUnusable

log = structlog.get_logger()

UserField = Literal["none", "cn", "email", "upn"]
DeviceField = Literal["none", "cn", "subject_serial", "dns", "uri", "fingerprint"]
DeviceKeyType = Literal["serial", "udid", "imei", "meid", "entra_device_id", "mdm_id", "cert_sha256", "subject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFields:
    """Which field of a certificate holds what."""

    user: UserField = "none"
    device: DeviceField = "none"
    device_form: str = "{}"
    """The text of the device's field, braces where the key stands."""
    device_key: DeviceKeyType = "serial"
    """Which name of an inventory device it is."""


class ClientCertificates:
    """Reads them, and knows which are worth nothing any more."""

    def __init__(
        self,
        fields: CertificateFields,
        rules: IdentityRules,
        *,
        revoked: Revoked | None = None,
        issuers: Issuers | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``issuers``: of certificates that askers hand on; None: none are taken from them."""
        self._fields = fields
        self._rules = rules
        self._revoked = revoked
        self._issuers = issuers
        self._now = now
        before, _, behind = fields.device_form.partition("{}")
        self._form = re.compile(f"{re.escape(before)}(.+){re.escape(behind)}", re.IGNORECASE | re.DOTALL)

    # --- of a connection

    def of(self, transport: asyncio.BaseTransport) -> CertificateShown | None:
        """What the client of a connection has shown within TLS; None: nothing."""
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(True) if isinstance(tls, ssl.SSLObject | ssl.SSLSocket) else None
        if der is None:
            return None
        found = peer_certificate(der)
        return self._shown(found) if found is not None else self._unreadable(der)

    def _unreadable(self, der: bytes) -> CertificateShown:
        """Verified all the same, so it is not none: it is one that names nobody and no device."""
        names, device = self._fields.user != "none", self._fields.device != "none"
        return CertificateShown(sha256(der).hexdigest(), inf, () if names else None, "" if device else None)

    def handed_on(self, der: bytes) -> CertificateShown | None:
        """What an asker says that its client has shown; None: nothing that an authority of ours vouches for."""
        if self._issuers is None:
            return None
        found = self._issuers.vouched(der, self._now())
        return None if found is None else self._shown(found)

    def _shown(self, found: PeerCertificate) -> CertificateShown:
        return CertificateShown(found.id, found.ends_at, self._logins(found), self._device_key(found))

    def _logins(self, found: PeerCertificate) -> tuple[str, ...] | None:
        if self._fields.user == "none":
            return None
        named = {"cn": found.common_names, "email": found.emails, "upn": found.upns}[self._fields.user]
        return tuple(dict.fromkeys(_canonical(named, self._rules)))

    def _device_key(self, found: PeerCertificate) -> str | None:
        if self._fields.device == "none":
            return None
        values = {
            "cn": found.common_names,
            "subject_serial": found.subject_serials,
            "dns": found.dns_names,
            "uri": found.uris,
            "fingerprint": (found.digest,),
        }[self._fields.device]
        fitting = [match[1] for value in values if (match := self._form.fullmatch(value))]
        # Of two keys nobody knows which is meant.
        return key_named(self._fields.device_key, fitting[0]) if len(set(fitting)) == 1 else ""

    # --- their end

    def has_ended(self, certificate: CertificateShown) -> bool:
        """Whether it was revoked or has expired since its handshake."""
        revoked = self._revoked is not None and certificate.id in self._revoked.ids
        return revoked or certificate.ends_at <= self._now()

    def reload(self, decision: DecisionPoint) -> None:
        """Read the files again, and end what came by a certificate that is revoked now; a bad file changes nothing."""
        try:
            for files in (self._revoked, self._issuers):
                if files is not None:
                    files.reload()
        except TlsUnusable as error:
            log.error("certificate_not_reloaded", reason=str(error))
            return
        self.tell(decision)

    def tell(self, decision: DecisionPoint) -> None:
        """Have the decision point know which are revoked."""
        if self._revoked is not None:
            decision.revoke(self._revoked.ids)


def _canonical(names: Iterable[str], rules: IdentityRules) -> Iterable[str]:
    for name in names:
        try:
            yield canonical_login(name, rules)
        except InvalidValue:
            # Nobody logs in by such a name.
            continue
