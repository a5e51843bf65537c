"""Why a request is answered as it is, in an operator's words: the verdict of ``decide`` and what stands behind it.

Pure: the record, the policy and the moment are arguments. The same explanation serves the API, the command line and
the console; people who are refused get shorter words elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.changes.remedies import ways_to_allow
from gateway.domain.access import AccessRequest
from gateway.domain.bans import Ban, Flag
from gateway.domain.certificate import UNKNOWN_PREFIX
from gateway.domain.decide import decide
from gateway.domain.enforcement import flag_in_force
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import App
from gateway.domain.policy import Policy, PolicyVersion
from gateway.domain.verdict import FOREVER, Effect, Reason, Verdict

_AFTER_SECONDS = 0.001
"""How far behind ``valid_until`` the next answer is looked at."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One answer with its reasons."""

    request: AccessRequest
    verdict: Verdict
    headline: str
    flag: Flag | None
    """Of the deciding (or would-be deciding) ban, for this person and protocol, now."""
    next_change_at: float | None
    """When the answer could change by itself; None: only by news."""
    next_effect: Effect | None
    """What the answer would be then, if nothing else happened."""
    ways_to_allow: tuple[str, ...]
    """Each by itself makes it an ALLOW; empty where it is one."""


def explain(request: AccessRequest, record: PersonRecord, policy: Policy, now: float) -> Explanation:
    """The answer to ``request`` at ``now``, explained."""
    verdict = decide(request, record, policy, now)
    change_at = None if verdict.valid_until == FOREVER else verdict.valid_until
    later = None if change_at is None else decide(request, record, policy, change_at + _AFTER_SECONDS)
    ban = _ban(policy.version, verdict)
    flag = flag_in_force(ban, record.person_id, record.groups, request.protocol, now).flag if ban else None
    return Explanation(
        request=request,
        verdict=verdict,
        headline=headline(verdict, now),
        flag=flag,
        next_change_at=change_at,
        next_effect=later.effect if later else None,
        ways_to_allow=ways_to_allow(request, record, policy, now),
    )


def _ban(version: PolicyVersion, verdict: Verdict) -> Ban | None:
    name = verdict.ban or verdict.would_ban
    return next((ban for ban in version.bans if ban.name == name), None)


def headline(verdict: Verdict, now: float) -> str:
    """The verdict in one sentence."""
    word = {Effect.ALLOW: "Allowed", Effect.DEFER: "Deferred", Effect.DENY: "Refused"}[verdict.effect]
    if verdict.reason is Reason.BANNED_APP:
        return f"{word}: {_hit_words(verdict.ban, verdict.app, verdict, now)}."
    sentence = f"{word}: {_reason_words(verdict, verdict.reason)}"
    if verdict.effect is Effect.ALLOW and verdict.would is not Effect.ALLOW:
        if verdict.would_reason is Reason.BANNED_APP:
            would = _hit_words(verdict.would_ban, verdict.would_app, verdict, now)
        else:
            would = _reason_words(verdict, verdict.would_reason)
        return f"{sentence}; enforced, it would be refused: {would}."
    return f"{sentence}."


def _hit_words(ban: str, app: App | None, verdict: Verdict, now: float) -> str:
    seen = f"{app.name or app.id} ({app.platform}:{app.id})" if app else "a banned app"
    by = f", reported by {verdict.source_id}" if verdict.source_id else ""
    age = f" {age_words(now - verdict.evidence_at)} ago" if verdict.evidence_at is not None else ""
    return f"{seen} is on the device{by}{age}; it falls under ban {ban}"


def _reason_words(verdict: Verdict, reason: Reason) -> str:
    if reason is Reason.DEVICE_UNMATCHED and verdict.device_id.startswith(UNKNOWN_PREFIX):
        key = verdict.device_id.removeprefix(UNKNOWN_PREFIX)
        return f"no source reports a device of this user that is called {key}, as the client certificate names it"
    return _REASONS[reason]


_REASONS = {
    Reason.CLEAN: "the last full report of the whole device shows no banned app",
    Reason.NOT_JUDGED: "the evidence does not suffice to judge, and the settings let that pass",
    Reason.NOT_ENFORCED: "nothing that speaks against it is enforced",
    Reason.ENFORCEMENT_OFF: "enforcement is switched off globally",
    Reason.EXEMPT: "an exemption is in force",
    Reason.NEW_DEVICE_GRACE: "the device is new and has its grace",
    Reason.HELD: "the fleet brake holds what time alone would refuse (gatepost brake status)",
    Reason.BANNED_APP: "a banned app is on the device",
    Reason.COMPROMISED: "a source calls the device compromised",
    Reason.NOT_COMPLIANT: "a source calls the device not compliant",
    Reason.EVIDENCE_MISSING: "there is no full app list of the device",
    Reason.EVIDENCE_STALE: "the last full app list of the device is too old",
    Reason.EVIDENCE_SCOPE: "what the sources see of the device cannot prove that an app is absent",
    Reason.DEVICE_UNMATCHED: "no inventory device is known to be this mail device",
    Reason.BINDING_CONFLICT: "several inventory devices claim to be this mail device",
    Reason.STATE_UNAVAILABLE: "the state cannot be read",
    Reason.CREDENTIAL_INVALID: "the device credential is wrong or revoked",
    Reason.CERTIFICATE_INVALID: "the client certificate is another user's",
    Reason.CERTIFICATE_ENDED: "the client certificate was revoked or has expired",
    Reason.IDENTITY_DEMANDED: "what [identity] demand asks for by this way in was not shown",
}


def age_words(seconds: float) -> str:
    """A length of time in one or two units: ``45 s``, ``12 min``, ``3 h 5 min``, ``4 d 2 h``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    parts = [(days, "d"), (hours, "h"), (rest // 60, "min")]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def version_that_set(versions: Sequence[PolicyVersion], ban_name: str) -> PolicyVersion | None:
    """The version that made the ban what it is in the newest; ``versions`` newest first, as far back as is known.

    None when it has been so throughout.
    """

    def ban_of(version: PolicyVersion) -> Ban | None:
        return next((ban for ban in version.bans if ban.name == ban_name), None)

    for newer, older in pairwise(versions):
        if ban_of(newer) != ban_of(older):
            return newer
    oldest = versions[-1] if versions else None
    return oldest if oldest is not None and oldest.number == 1 else None
