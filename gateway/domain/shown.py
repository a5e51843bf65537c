"""What a client shows beside the password: is it good, what does it stand for, and is it what is demanded.

A device credential and a client certificate each say which device it is; a wrong one is a wrong login, never the user
without one. A listener may demand one of them: like a closed path that is no matter of the policy, so no switch and no
exemption opens it.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.credential import standing_behind
from gateway.domain.evidence import PersonRecord
from gateway.domain.verdict import Effect, Posture, Reason, Verdict


class Demand(StrEnum):
    """What a login must bring beside the password."""

    NONE = "none"
    CERTIFICATE = "certificate"
    CREDENTIAL = "credential"
    EITHER = "either"


Demands = Mapping[Protocol, Demand]

_TOLD: Final = {
    Demand.CERTIFICATE: "This mail account opens only with the client certificate of a managed device.",
    Demand.CREDENTIAL: "This mail account opens only with a device credential behind the user name.",
    Demand.EITHER: (
        "This mail account opens only with the client certificate of a managed device, or with a device credential "
        "behind the user name."
    ),
}
"""What is missing, for the person who is refused."""
ENDED_TEXT: Final = "The client certificate of this device was revoked or has expired."
WRONG_LOGINS: Final = frozenset({Reason.CREDENTIAL_INVALID, Reason.CERTIFICATE_INVALID})
"""Reasons that are answered as a wrong password is."""


def refused_as_shown(request: AccessRequest, record: PersonRecord | None, version: int, now: float) -> Verdict | None:
    """The refusal of what was shown; None: nothing speaks against it. Without a record only its end is known."""
    certificate = request.certificate
    if record is not None:
        if request.credential is not None and standing_behind(request.credential, record.credentials) is None:
            return _refused(Reason.CREDENTIAL_INVALID, version)
        if certificate is not None and not certificate.is_of((request.login, record.person_id, *record.logins)):
            return _refused(Reason.CERTIFICATE_INVALID, version)
    if certificate is not None and certificate.ends_at <= now:
        return certificate_ended(version)
    return None


def with_its_device(request: AccessRequest, record: PersonRecord) -> AccessRequest:
    """The question about the device that a good credential stands for."""
    standing = None if request.credential is None else standing_behind(request.credential, record.credentials)
    return request if standing is None else request._replace(device_id=standing.device_id)


def until_it_ends(verdict: Verdict, request: AccessRequest) -> Verdict:
    """The same verdict, no longer than the certificate lasts by which it was asked for."""
    certificate = request.certificate
    if certificate is None or certificate.ends_at >= verdict.valid_until:
        return verdict
    return replace(verdict, valid_until=certificate.ends_at)


def refused_by_demand(request: AccessRequest, demands: Demands, version: int) -> Verdict | None:
    """The refusal of a login that does not bring what is demanded of its protocol; None: it does.

    A certificate counts if the settings have the device read and one is named in it, or have none read at all.
    """
    demand = demands.get(request.protocol, Demand.NONE)
    certified = request.certificate is not None and request.certificate.device_key != ""
    met = {
        Demand.NONE: True,
        Demand.CERTIFICATE: certified,
        Demand.CREDENTIAL: request.credential is not None,
        Demand.EITHER: certified or request.credential is not None,
    }[demand]
    return None if met else _refused(Reason.IDENTITY_DEMANDED, version, _TOLD[demand])


def certificate_ended(version: int) -> Verdict:
    """Revoked, or past its end, since its handshake."""
    return _refused(Reason.CERTIFICATE_ENDED, version, ENDED_TEXT)


def _refused(reason: Reason, version: int, note: str = "") -> Verdict:
    # No switch and no exemption lets in a wrong login.
    return Verdict(Effect.DENY, reason, Posture.UNKNOWN, version, note=note)
