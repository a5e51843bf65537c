"""Client certificates: whose they are, which device they name, and that they make no verdict milder."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol, strength_of
from gateway.domain.certificate import CertificateShown, devices_named, key_named, keys_of
from gateway.domain.credential import CredentialShown, DeviceCredential, digest_of
from gateway.domain.decide import decide
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import DeviceKey
from gateway.domain.policy import Exemption, NewDeviceGrace, PolicyVersion, Unavailable, first_policy, policy_of
from gateway.domain.shown import Demand, refused_by_demand
from gateway.domain.verdict import FOREVER, Effect, Posture, Reason, Verdict
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import (
    DAY,
    LOGIN,
    MAIL,
    NOW,
    TIKTOK,
    TIKTOK_BAN,
    bound,
    denying,
    of_person,
    seen,
    thorough,
    unmatched,
)

KEY = "serial:f9fxj0"
SHOWN = CertificateShown("4d@ca", NOW + DAY, (LOGIN,), KEY)
ENFORCING = replace(first_policy(0.0), number=7, bans=(TIKTOK_BAN,))


def keyed(source: SourceEvidence, *keys: str) -> SourceEvidence:
    return replace(source, keys=keys or (KEY,))


def inventory(*sources: SourceEvidence) -> DeviceEvidence:
    """A device that is reported, and that no mail device is known for."""
    return DeviceEvidence("", BindingState.BOUND, sources)


def asking(
    device_id: str = "", shown: CertificateShown | None = SHOWN, protocol: Protocol = Protocol.IMAP
) -> AccessRequest:
    return AccessRequest(LOGIN, device_id, protocol, strength_of(device_id, certificate=shown), certificate=shown)


def judged(
    request: AccessRequest, record: PersonRecord, version: PolicyVersion = ENFORCING, at: float = NOW
) -> Verdict:
    return decide(request, record, policy_of(version), at)


# --- Which device


def test_the_device_that_it_names_answers_alone() -> None:
    clean, dirty = inventory(keyed(seen(MAIL))), inventory(seen(TIKTOK, device="m2"))
    assert judged(asking(shown=None), of_person(clean, dirty)).reason is Reason.BANNED_APP
    assert judged(asking(), of_person(clean, dirty)).reason is Reason.CLEAN
    other = replace(SHOWN, device_key=key_named("subject", "M2"))
    assert judged(asking(shown=other), of_person(clean, dirty)).reason is Reason.BANNED_APP


def test_a_mail_device_is_named_by_the_inventory_that_it_is_bound_to() -> None:
    record = of_person(bound(keyed(seen(TIKTOK))), bound(seen(MAIL, device="m2"), device_id="d2"))
    verdict = judged(asking(), record)
    assert (verdict.reason, verdict.device_id) == (Reason.BANNED_APP, "d1")


def test_beside_a_device_id_both_answer() -> None:
    record = of_person(bound(seen(MAIL)), inventory(keyed(seen(TIKTOK, device="m2"))))
    by_id = Protocol.ACTIVESYNC
    assert judged(asking("d1", None, by_id), record).reason is Reason.CLEAN
    assert judged(asking("d1", protocol=by_id), record).reason is Reason.BANNED_APP
    swapped = of_person(bound(seen(TIKTOK)), inventory(keyed(seen(MAIL, device="m2"))))
    assert judged(asking("d1", protocol=by_id), swapped).reason is Reason.BANNED_APP


def test_an_unmatched_device_id_stays_one() -> None:
    record = of_person(unmatched("d1"), inventory(keyed(seen(MAIL))))
    version = replace(ENFORCING, unknowns=denying("unmatched"))
    verdict = judged(asking("d1", protocol=Protocol.ACTIVESYNC), record, version)
    assert (verdict.reason, verdict.device_id) == (Reason.DEVICE_UNMATCHED, "d1")


def test_beside_a_device_credential_both_answer() -> None:
    shown = CredentialShown("k3vq7mzd", digest_of("k3vq7mzd", "x"))
    record = of_person(bound(seen(MAIL)), inventory(keyed(seen(TIKTOK, device="m2"))))
    record = replace(record, credentials=(DeviceCredential(shown.id, shown.digest, "d1"),))
    request = asking()._replace(credential=shown)
    assert judged(request._replace(certificate=None), record).reason is Reason.CLEAN
    assert judged(request, record).reason is Reason.BANNED_APP
    # And a wrong one is wrong, whatever certificate comes with it.
    wrong = request._replace(credential=CredentialShown(shown.id, "0" * 64))
    assert judged(wrong, record).reason is Reason.CREDENTIAL_INVALID


@pytest.mark.parametrize("key", ["serial:another", ""])
def test_a_device_that_nobody_reports_is_unmatched(key: str) -> None:
    shown = replace(SHOWN, device_key=key)
    record = of_person(bound(seen(MAIL)))
    assert judged(asking(shown=shown), record).effect is Effect.ALLOW
    verdict = judged(asking(shown=shown), record, replace(ENFORCING, unknowns=denying("unmatched")))
    expected = (Effect.DENY, Reason.DEVICE_UNMATCHED, f"certificate:{key or SHOWN.id}")
    assert (verdict.effect, verdict.reason, verdict.device_id) == expected


def test_a_device_that_nobody_reports_does_not_hide_the_others() -> None:
    verdict = judged(asking(shown=replace(SHOWN, device_key="serial:another")), of_person(bound(seen(TIKTOK))))
    assert verdict.reason is Reason.BANNED_APP


def test_an_unknown_device_of_a_certificate_has_no_grace() -> None:
    version = replace(ENFORCING, unknowns=denying("unmatched"), grace=NewDeviceGrace(DAY, 3))
    request = asking(shown=replace(SHOWN, device_key="serial:another"), protocol=Protocol.ACTIVESYNC)
    assert judged(request, of_person(bound(seen(MAIL))), version).reason is Reason.DEVICE_UNMATCHED


def test_of_several_that_are_called_so_all_answer() -> None:
    record = of_person(inventory(keyed(seen(MAIL))), inventory(keyed(seen(TIKTOK, source="jamf", device="j1"))))
    assert len(devices_named(SHOWN, record)) == 2
    assert judged(asking(), record).reason is Reason.BANNED_APP


def test_a_conflict_of_its_device_is_one() -> None:
    device = DeviceEvidence("d1", BindingState.CONFLICT, (keyed(seen(MAIL)), seen(TIKTOK, device="m2")))
    assert judged(asking(), of_person(device)).reason is Reason.BANNED_APP


def test_what_only_names_the_user_says_nothing_of_the_device() -> None:
    shown = replace(SHOWN, device_key=None)
    record = of_person(bound(seen(MAIL)), bound(seen(TIKTOK, device="m2"), device_id="d2"))
    assert judged(asking(shown=shown), record).reason is Reason.BANNED_APP
    assert judged(asking("d1", shown, Protocol.ACTIVESYNC), record).reason is Reason.CLEAN
    assert asking("d1", shown, Protocol.ACTIVESYNC).strength is IdentityStrength.DEVICE_ID
    assert asking().strength is IdentityStrength.CLIENT_CERTIFICATE


@pytest.mark.parametrize(
    ("key_type", "value", "key"),
    [
        ("serial", " F9FXJ0 ", "serial:f9fxj0"),
        ("cert_sha256", "SHA256:AB:CD", "cert_sha256:abcd"),
        ("udid", "00008030-001A", "udid:00008030-001a"),
        ("serial", "  ", ""),
    ],
)
def test_keys_have_one_spelling(key_type: str, value: str, key: str) -> None:
    assert key_named(key_type, value) == key
    assert keys_of([DeviceKey(key_type, value), DeviceKey("user", value)]) == ((key,) if key else ())


# --- Whose


@pytest.mark.parametrize("logins", [("bert@corp.example",), ()])
def test_another_users_is_a_wrong_login_whatever_is_switched_off_or_exempt(logins: tuple[str, ...]) -> None:
    exempt = Exemption("e1", "root", "a reason", NOW - DAY, NOW + DAY, LOGIN)
    version = replace(ENFORCING, enforcement_on=False, exemptions=(exempt,))
    verdict = judged(asking(shown=replace(SHOWN, logins=logins)), of_person(inventory(keyed(seen(MAIL)))), version)
    assert verdict == Verdict(Effect.DENY, Reason.CERTIFICATE_INVALID, Posture.UNKNOWN, 7)


def test_an_alias_of_the_user_will_do() -> None:
    shown = replace(SHOWN, logins=("nobody@corp.example", "a.smith@corp.example"))
    assert judged(asking(shown=shown), of_person(inventory(keyed(seen(MAIL))))).reason is Reason.CLEAN


def test_without_a_user_field_anybody_may_show_it() -> None:
    shown = replace(SHOWN, logins=None)
    assert judged(asking(shown=shown), of_person(inventory(keyed(seen(MAIL))))).reason is Reason.CLEAN
    # But it names a device of that very user, or none.
    nobody = judged(asking(shown=shown), of_person(), replace(ENFORCING, unknowns=denying("unmatched")))
    assert nobody.reason is Reason.DEVICE_UNMATCHED


# --- Until when


def test_no_verdict_outlives_it() -> None:
    record = of_person(inventory(keyed(seen(MAIL))))
    short = replace(SHOWN, ends_at=NOW + 60)
    assert judged(asking(shown=short), record).valid_until == NOW + 60
    ended = judged(asking(shown=short), record, replace(ENFORCING, enforcement_on=False), NOW + 60)
    assert (ended.effect, ended.reason, ended.valid_until) == (Effect.DENY, Reason.CERTIFICATE_ENDED, FOREVER)
    assert "revoked or has expired" in ended.note


def test_without_the_state_its_end_still_counts() -> None:
    version = replace(ENFORCING, unavailable=Unavailable.ALLOW)
    for ends_at, effect in ((NOW + 60, Effect.ALLOW), (NOW, Effect.DENY)):
        request = asking(shown=replace(SHOWN, ends_at=ends_at))
        assert decide(request, None, policy_of(version), NOW).effect is effect


# --- Exempt


def test_the_exemption_of_another_device_does_not_count() -> None:
    exempt = Exemption("e1", "root", "a reason", NOW - DAY, NOW + DAY, LOGIN, "d1")
    version = replace(ENFORCING, exemptions=(exempt,))
    record = of_person(bound(seen(TIKTOK)), inventory(keyed(seen(TIKTOK, device="m2"))))
    request = asking("d1", protocol=Protocol.ACTIVESYNC)
    assert judged(request._replace(certificate=None), record, version).reason is Reason.EXEMPT
    assert judged(request, record, version).reason is Reason.BANNED_APP
    own = of_person(bound(keyed(seen(TIKTOK))))
    assert judged(request, own, version).reason is Reason.EXEMPT
    assert judged(asking(), own, version).reason is Reason.EXEMPT


# --- Never milder


shown = st.builds(
    CertificateShown,
    st.just("4d@ca"),
    st.sampled_from([NOW - 1, NOW + 60.0, FOREVER]),
    st.sampled_from([None, (LOGIN,), ("bert@corp.example",), ()]),
    st.sampled_from([None, "", "subject:m1", "subject:m2", "serial:unknown"]),
)


@thorough
@given(shown, drawn.requests, drawn.records(), drawn.policies())
def test_beside_another_identity_a_certificate_never_makes_a_verdict_milder(
    certificate: CertificateShown, request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> None:
    """Beside a DeviceId; and where it names no device of the person, beside all of them."""
    if not request.device_id and devices_named(certificate, record):
        return
    with_it = judged(request._replace(certificate=certificate), record, version)
    assert with_it.effect >= judged(request, record, version).effect


@thorough
@given(shown, drawn.requests, drawn.records(), drawn.policies())
def test_beside_a_certificate_nothing_makes_a_verdict_milder(
    certificate: CertificateShown, request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> None:
    """The device that it names answers as strictly as it does alone, whatever DeviceId comes with it."""
    if not devices_named(certificate, record):
        return
    with_it = request._replace(certificate=certificate)
    alone = with_it._replace(device_id="", device_type="")
    assert judged(with_it, record, version).effect >= judged(alone, record, version).effect


@thorough
@given(shown, drawn.requests, drawn.records(), drawn.policies())
def test_no_verdict_by_a_certificate_outlives_it(
    certificate: CertificateShown, request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> None:
    verdict = judged(request._replace(certificate=certificate), record, version)
    if verdict.effect is Effect.ALLOW:
        assert NOW < verdict.valid_until <= certificate.ends_at


# --- What is demanded


CREDENTIAL = CredentialShown("k3vq7mzd", "0" * 64)


@pytest.mark.parametrize("demand", list(Demand))
@pytest.mark.parametrize(
    ("certificate", "credential", "met_by"),
    [
        (None, None, {"none"}),
        (SHOWN, None, {"none", "certificate", "either"}),
        (replace(SHOWN, device_key=None), None, {"none", "certificate", "either"}),
        (replace(SHOWN, device_key=""), None, {"none"}),
        (None, CREDENTIAL, {"none", "credential", "either"}),
        (SHOWN, CREDENTIAL, {"none", "certificate", "credential", "either"}),
    ],
)
def test_a_demand_is_met_by_what_it_names(
    demand: Demand, certificate: CertificateShown | None, credential: CredentialShown | None, met_by: set[str]
) -> None:
    request = asking(shown=certificate)._replace(credential=credential)
    refused = refused_by_demand(request, {Protocol.IMAP: demand}, 7)
    assert (refused is None) is (demand.value in met_by)
    assert refused_by_demand(request, {Protocol.SMTP: demand}, 7) is None
    if refused is not None:
        assert (refused.effect, refused.reason) == (Effect.DENY, Reason.IDENTITY_DEMANDED)
        assert "opens only with" in refused.note
