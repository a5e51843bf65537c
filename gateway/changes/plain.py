"""The answer for the person it is about: what is the case, since when that is known, what to do, and whom to ask.

Nothing in it is about anybody else or about how the gateway is run: no operator, group, source, policy or other
claimant of the device. The help desk can read it out or send it.
"""

from collections.abc import Iterator

from gateway.changes.explain import age_words
from gateway.domain.access import AccessRequest, IdentityStrength
from gateway.domain.verdict import Effect, Reason, Verdict
from gateway.protocols.wording import app_named

ASK = "If you think this is wrong, ask your help desk."


def plain_words(request: AccessRequest, verdict: Verdict, now: float) -> tuple[str, ...]:
    """Whole sentences, the most important first."""
    if verdict.effect is Effect.ALLOW:
        return ("Mail is not blocked.",)
    if verdict.effect is Effect.DEFER:
        return ("The mail gateway cannot answer now.", "Mail comes back by itself; you need do nothing.")
    one = "this device" if request.strength is not IdentityStrength.USER_WIDE else "one of your devices"
    return tuple(sentence for sentence in (*_refused(one, verdict, now), ASK) if sentence)


def _refused(one: str, verdict: Verdict, now: float) -> Iterator[str]:
    because, step = _CASES.get(verdict.reason, ("of a rule of your organization about {one}", ""))
    if verdict.reason is Reason.BANNED_APP:
        because, step = "of an app on {one}: {app}", "Remove the app, and let the device report its apps again."
    app = app_named(verdict) or verdict.ban
    yield f"Mail is blocked because {because.format(one=one, app=app)}."
    yield verdict.note or step
    if verdict.evidence_at is not None:
        yield f"This was reported {age_words(now - verdict.evidence_at)} ago."


_REPORT = "Open the app by which your organization manages the device, and let it synchronise."
_CASES = {
    Reason.COMPROMISED: ("{one} is reported to be rooted or jailbroken", ""),
    Reason.NOT_COMPLIANT: ("{one} is reported not to meet your organization's rules for devices", _REPORT),
    Reason.EVIDENCE_MISSING: ("nobody has reported which apps are on {one}", _REPORT),
    Reason.EVIDENCE_STALE: ("the last list of the apps on {one} is too old", _REPORT),
    Reason.EVIDENCE_SCOPE: (
        "your organization cannot see all apps on {one}",
        "Ask how to enrol the whole device.",
    ),
    Reason.DEVICE_UNMATCHED: ("your organization does not know {one}", "Enrol it, or use a device that is enrolled."),
    Reason.BINDING_CONFLICT: ("{one} cannot be told apart from another device", ""),
    Reason.CREDENTIAL_INVALID: ("the login made for {one} is wrong or was revoked", ""),
    Reason.CERTIFICATE_INVALID: ("the certificate on {one} is not yours", ""),
    Reason.CERTIFICATE_ENDED: ("the certificate on {one} has expired or was revoked", ""),
    Reason.IDENTITY_DEMANDED: ("this way to mail needs a certificate or a login made for the device", ""),
}
"""Why, and what to do."""
