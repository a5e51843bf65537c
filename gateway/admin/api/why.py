"""Why a user, or one device of a user, is let through or refused, or would be if something were otherwise."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.admin.api.apps import AppOut, app_out
from gateway.admin.api.deps import Deps, Viewing
from gateway.admin.api.moments import shown, surely_shown
from gateway.admin.api.past_moment import moment_of
from gateway.admin.api.policy_behind import PolicyBehind, behind
from gateway.admin.api.what_if import Thinking, see_that_it_is_told
from gateway.changes.explain import Explanation, explain, version_that_set
from gateway.changes.plain import plain_words
from gateway.changes.what_if import policy_if, record_if
from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.ageing import AGEING
from gateway.domain.audit import Subject
from gateway.domain.bans import Flag
from gateway.domain.certificate import KEY_TYPES, SUBJECT, CertificateShown, key_named
from gateway.domain.change import PolicyChange
from gateway.domain.credential import DEVICE_PREFIX
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.identity import canonical_login, device_named
from gateway.domain.inventory import Scope
from gateway.domain.policy import policy_of
from gateway.domain.posture import expires_at
from gateway.domain.shown import Demand
from gateway.domain.verdict import FOREVER, Cause, Effect, Posture, Reason
from gateway.ports.store import Reading

router = APIRouter(tags=["why"])

DEVICES_AT_MOST = 100
VERSIONS_LOOKED_BACK = 200
CHANGES_LOOKED_BACK = 500

EffectWord = Literal["allow", "defer", "deny"]
_WORDS: dict[Effect, EffectWord] = {Effect.ALLOW: "allow", Effect.DEFER: "defer", Effect.DENY: "deny"}


class EvidenceOut(BaseModel):
    """What one source last said about the device."""

    source: str
    source_device: str
    scope: Scope
    reported_at: datetime
    full_list_at: datetime | None
    stale_at: datetime | None
    apps: int
    compromised: bool | None
    compliant: bool | None
    suspicious: bool


class WouldOut(BaseModel):
    """What enforcement would have answered: report-only, exemptions and the global switch aside."""

    effect: EffectWord
    reason: Reason
    ban: str
    app: AppOut | None


class Why(BaseModel):
    """One answer, with its reasons."""

    device: str = Field(description="canonical DeviceId; empty: the user without a device (all devices together)")
    identity: str = Field(
        description="by what the device is known: user_wide, device_id, device_credential, client_certificate"
    )
    credentials: list[str] = Field(description="IDs of the good credentials that stand for the device")
    effect: EffectWord
    reason: Reason
    posture: Posture
    headline: str
    causes: list[Cause]
    ban: str
    flag: Flag | None = Field(description="of the deciding ban, for this user and protocol, now")
    flag_set_by: PolicyBehind | None = Field(description="the version that made that ban what it is")
    app: AppOut | None
    source: str
    evidence_at: datetime | None
    evidence_age_seconds: float | None
    would: WouldOut
    deciding_device: str
    note: str
    next_change_at: datetime | None
    next_effect: EffectWord | None
    would_allow: list[str] = Field(description="each by itself makes it an allow")
    plain: list[str] = Field(description="the same for the user: whole sentences, and nobody else in them")
    binding: str
    evidence: list[EvidenceOut]
    tombstones: int = Field(description="hits that outlived their evidence")


class WhyUser(BaseModel):
    """A user with the answers for the devices asked about."""

    user: str
    person: str
    known: bool
    groups: list[str]
    protocol: Protocol
    at: datetime
    policy: PolicyBehind
    enforcement_on: bool
    what_if: bool = Field(description="something is thought otherwise: nothing of this is in force")
    kept_since: datetime | None = Field(
        description="of an answer as of a past moment: since when everything is known; null: the answer is of now"
    )
    demand: Demand = Field(description="what this way in asks for beside the password; without it nobody gets in")
    answers: list[Why]


@router.get("/why")
async def why(
    deps: Deps,
    operator: Viewing,
    thought: Thinking,
    user: Annotated[str, Query(max_length=300)],
    device: Annotated[str, Query(max_length=100)] = "",
    protocol: Protocol = Protocol.ACTIVESYNC,
    certificate: Annotated[str, Query(max_length=300, description="as it names a device: serial:F9FXJ0")] = "",
) -> WhyUser:
    """Why; without ``device`` for every known device of the user and for the user as a whole.

    ``certificate``: as if a client certificate came with it that names a device so. ``with_ban``, ``with_app``,
    ``without_app``, ``flag``, ``unknown`` and ``policy``: as if that were so; nothing is stored. ``at``: as of then.
    Every question is audited. A ban that is thought up tells whether an app is on somebody's device: it takes a reason.
    """
    login = canonical_login(user, deps.rules)
    device_id = device_named(device) if device else ""
    named = _certificate(certificate) if certificate else None
    async with deps.store.read() as reading:
        moment = await moment_of(reading, thought.at, deps.now(), thought.policy)
        now, version = moment.at, moment.version
        record = await deps.load_record(moment.evidence, login)
        types = {seen.device_id: seen.device_type for seen in await moment.evidence.mail_devices(record.person_id)}
        one = device_id or named is not None
        asked = [device_id] if one else [*list(record.devices)[:DEVICES_AT_MOST], ""]
        # What was held then is not kept.
        ageing = AGEING if thought.at is not None else (await reading.brake()).ageing
        policy = replace(policy_of(policy_if(version, thought.wanted)), ageing=ageing)
        record = record_if(record, thought.wanted, device_id, now)
        explained = [
            explain(
                _request(login, each, protocol, types.get(each, ""), record)._replace(**named or {}),
                *(record, policy, now),
            )
            for each in asked
        ]
        changes = await reading.policy_changes(CHANGES_LOOKED_BACK)
        as_stored = {ban.name for ban in version.bans if ban in policy.version.bans}
        setters = await _setters(reading, as_stored.intersection(map(_ban_of, explained)), version.number, changes)
    await see_that_it_is_told(deps, operator.name, Subject(record.person_id, device_id), thought)
    return WhyUser(
        user=login,
        person=record.person_id,
        known=record.known,
        groups=sorted(record.groups),
        protocol=protocol,
        at=surely_shown(now),
        policy=behind(version, changes),
        enforcement_on=version.enforcement_on,
        what_if=bool(thought),
        kept_since=None if moment.kept_since is None else surely_shown(moment.kept_since),
        demand=deps.demands.get(protocol, Demand.NONE),
        answers=[_why(each, record, setters, now) for each in explained],
    )


def _certificate(text: str) -> dict[str, Any]:
    """What a certificate that names a device so changes in a question. Raises ``InvalidValue``."""
    key_type, colon, value = text.partition(":")
    key = key_named(key_type.strip().lower(), value)
    if not colon or not key or key.partition(":")[0] not in {*KEY_TYPES, SUBJECT}:
        kinds = ", ".join(sorted({*KEY_TYPES, SUBJECT}))
        raise InvalidValue(f"write how the certificate names the device, like serial:F9FXJ0; there are {kinds}")
    return {
        "certificate": CertificateShown("", FOREVER, None, key),
        "strength": IdentityStrength.CLIENT_CERTIFICATE,
    }


def _request(login: str, device_id: str, protocol: Protocol, device_type: str, record: PersonRecord) -> AccessRequest:
    by_credential = device_id.startswith(DEVICE_PREFIX) or (
        protocol is not Protocol.ACTIVESYNC and bool(_credentials_of(record, device_id))
    )
    if by_credential:
        strength = IdentityStrength.DEVICE_CREDENTIAL
    else:
        strength = IdentityStrength.DEVICE_ID if device_id else IdentityStrength.USER_WIDE
    return AccessRequest(login, device_id, protocol, strength, device_type=device_type)


def _credentials_of(record: PersonRecord, device_id: str) -> list[str]:
    return [each.id for each in record.credentials if each.device_id == device_id]


def _ban_of(explained: Explanation) -> str:
    return explained.verdict.ban or explained.verdict.would_ban


async def _setters(
    reading: Reading, bans: AbstractSet[str], number: int, changes: Sequence[PolicyChange]
) -> dict[str, PolicyBehind]:
    """For each of these bans the version that made it what it is in version ``number``."""
    if not bans:
        return {}
    history = [each for each in await reading.policies(VERSIONS_LOOKED_BACK) if each.number <= number]
    found = {name: version_that_set(history, name) for name in bans}
    return {name: behind(each, changes) for name, each in found.items() if each is not None}


def _why(
    explained: Explanation,
    record: PersonRecord,
    setters: Mapping[str, PolicyBehind],
    now: float,
) -> Why:
    verdict = explained.verdict
    device = record.devices.get(explained.request.device_id)
    at = verdict.evidence_at
    return Why(
        device=explained.request.device_id,
        identity=explained.request.strength.word,
        credentials=_credentials_of(record, explained.request.device_id),
        effect=_WORDS[verdict.effect],
        reason=verdict.reason,
        posture=verdict.posture,
        headline=explained.headline,
        causes=list(verdict.causes),
        ban=verdict.ban,
        flag=explained.flag,
        flag_set_by=setters.get(_ban_of(explained)),
        app=app_out(verdict.app),
        source=verdict.source_id,
        evidence_at=shown(at),
        evidence_age_seconds=None if at is None else round(now - at, 3),
        would=WouldOut(
            effect=_WORDS[verdict.would],
            reason=verdict.would_reason,
            ban=verdict.would_ban,
            app=app_out(verdict.would_app),
        ),
        deciding_device=verdict.device_id,
        note=verdict.note,
        next_change_at=shown(explained.next_change_at),
        next_effect=None if explained.next_effect is None else _WORDS[explained.next_effect],
        would_allow=list(explained.ways_to_allow),
        plain=list(plain_words(explained.request, explained.verdict, now)),
        **_seen_of(device),
    )


def _seen_of(device: DeviceEvidence | None) -> dict[str, object]:
    if device is None:
        return {"binding": "unknown", "evidence": [], "tombstones": 0}
    return {
        "binding": device.binding.value,
        "evidence": [evidence_out(source) for source in device.sources],
        "tombstones": len(device.tombstones),
    }


def evidence_out(source: SourceEvidence) -> EvidenceOut:
    """Evidence for an answer; apps are counted, not listed."""
    return EvidenceOut(
        source=source.source_id,
        source_device=source.source_device,
        scope=source.scope,
        reported_at=surely_shown(source.generated_at),
        full_list_at=shown(source.full_at),
        stale_at=shown(expires_at(source)),
        apps=len(source.apps),
        compromised=source.compromised,
        compliant=source.compliant,
        suspicious=source.suspicious,
    )
