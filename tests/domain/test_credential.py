"""Device credentials: their form behind a name, and what the decision makes of them."""

from dataclasses import replace

import pytest

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.credential import CredentialShown, DeviceCredential, digest_of, holds_credential, split
from gateway.domain.decide import decide
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import BindingState, PersonRecord
from gateway.domain.grace import grace_of
from gateway.domain.identity import IdentityRules, canonical_login, device_named
from gateway.domain.matching import compiled
from gateway.domain.policy import Exemption, NewDeviceGrace, first_policy, policy_of
from gateway.domain.verdict import Effect, Posture, Reason, Verdict
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
    unmatched,
)

ID, SECRET = "k3vq7mzd", "abcdefghijklmnopqrstuvwxyz"
SHOWN = CredentialShown(ID, digest_of(ID, SECRET))
ENFORCING = replace(first_policy(0.0), number=7, bans=(TIKTOK_BAN,))
INVALID = Verdict(Effect.DENY, Reason.CREDENTIAL_INVALID, Posture.UNKNOWN, 7)


def asking(shown: CredentialShown = SHOWN, protocol: Protocol = Protocol.IMAP) -> AccessRequest:
    return AccessRequest(LOGIN, "", protocol, IdentityStrength.DEVICE_CREDENTIAL, "LOGIN", credential=shown)


def holding(record: PersonRecord, device_id: str) -> PersonRecord:
    return replace(record, credentials=(DeviceCredential(ID, SHOWN.digest, device_id),))


# --- The form


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (f"anna@corp.example%{ID}-{SECRET}", "anna@corp.example"),
        (f"anna%{ID}-{SECRET}", "anna"),
        (f"anna%{ID}-{SECRET}@corp.example", "anna@corp.example"),
        (f"a%b@corp.example%{ID}-{SECRET}", "a%b@corp.example"),
        (f"CORP\\anna%{ID.upper()}-{SECRET.upper()}", "CORP\\anna"),
    ],
)
def test_the_last_percent_sign_splits(given: str, name: str) -> None:
    assert split(given) == (name, SHOWN)


@pytest.mark.parametrize(
    "name",
    [
        "anna",
        "a%b@corp.example",
        "user%host@relay",
        f"anna%{ID}",
        f"anna%{ID}-{SECRET}x",
        f"anna%{ID}-{SECRET[:-1]}",
        f"anna%{ID}{SECRET}",
        f"anna%{ID}-{SECRET}@a@b",
        f"anna%{ID}-{SECRET[:-1]}1",
        f"anna%{ID}-{SECRET}\n",
    ],
)
def test_another_name_with_a_percent_sign_is_a_name(name: str) -> None:
    assert split(name) == (name, None)
    assert not holds_credential(name)


def test_a_name_that_holds_a_secret_is_nobody_s() -> None:
    for name in (
        f"anna%{ID}-{SECRET}",
        f"anna\uff05{ID}-{SECRET}",
        f"anna%{ID}-{SECRET}@corp.example",
        # Folded it has a domain with a percent sign, and is no credential any more.
        f"anna%{ID}-{SECRET}@\uff05",
    ):
        with pytest.raises(InvalidValue) as caught:
            canonical_login(name, IdentityRules("corp.example"))
        assert SECRET not in str(caught.value)
    assert canonical_login("a%b", IdentityRules("corp.example")) == "a%b@corp.example"


def test_a_secret_is_of_use_for_its_own_id_only_and_shows_nowhere() -> None:
    assert digest_of("aaaaaaaa", SECRET) != SHOWN.digest
    for shown in (repr(SHOWN), repr(asking()), repr(DeviceCredential(ID, SHOWN.digest, "d1"))):
        assert ID in shown
        assert SHOWN.digest not in shown
        assert SECRET not in shown


def test_how_an_operator_names_a_device() -> None:
    assert device_named(" Credential:K3VQ7MZD ") == f"credential:{ID}"
    assert device_named("ApplDX3Q") == "appldx3q"
    for wrong in ("credential:", "credential:k3vq7mz", "credential:k3vq7mz1", "k3vq-7mzd"):
        with pytest.raises(InvalidValue):
            device_named(wrong)


# --- The decision


def test_a_credential_answers_for_its_device_alone() -> None:
    record = of_person(bound(seen(MAIL)), bound(seen(MAIL, TIKTOK), device_id="d2"))
    policy = policy_of(ENFORCING)
    assert decide(asking(), holding(record, "d1"), policy, NOW).reason is Reason.CLEAN
    assert decide(asking(), holding(record, "d2"), policy, NOW).reason is Reason.BANNED_APP
    wide = asking()._replace(credential=None, strength=IdentityStrength.USER_WIDE)
    assert decide(wide, record, policy, NOW).reason is Reason.BANNED_APP


def test_a_conflict_of_its_device_is_one() -> None:
    disputed = replace(bound(seen(MAIL)), binding=BindingState.CONFLICT)
    version = replace(ENFORCING, unknowns=denying("conflict"))
    found = decide(asking(), holding(of_person(disputed), "d1"), policy_of(version), NOW)
    assert (found.effect, found.reason) == (Effect.DENY, Reason.BINDING_CONFLICT)


def test_a_wrong_credential_is_never_the_user_without_one() -> None:
    """Unknown, revoked, another person's, or with another secret; no switch and no exemption lets it in."""
    clean = of_person(bound(seen(MAIL)))
    exempt = Exemption("x", "root", "", 0.0, NOW + DAY, login=LOGIN)
    off = replace(ENFORCING, enforcement_on=False, exemptions=(exempt,))
    for version in (ENFORCING, off):
        assert decide(asking(), clean, policy_of(version), NOW) == INVALID
        other = CredentialShown(ID, digest_of(ID, SECRET[::-1]))
        assert decide(asking(other), holding(clean, "d1"), policy_of(version), NOW) == INVALID
        other = CredentialShown("aaaaaaaa", SHOWN.digest)
        assert decide(asking(other), holding(clean, "d1"), policy_of(version), NOW) == INVALID


def test_an_exemption_of_its_device_counts() -> None:
    exempt = Exemption("x", "root", "", 0.0, NOW + DAY, login=LOGIN, device_id="d1")
    version = replace(ENFORCING, exemptions=(exempt,))
    record = of_person(bound(seen(MAIL, TIKTOK)))
    assert decide(asking(), holding(record, "d1"), policy_of(version), NOW).reason is Reason.EXEMPT


def test_a_device_that_is_not_there_any_more_is_unmatched_and_has_no_grace() -> None:
    version = replace(ENFORCING, unknowns=denying("unmatched", "missing"), grace=NewDeviceGrace(DAY, 2))
    found = decide(asking(), holding(of_person(bound(seen(MAIL))), "d2"), policy_of(version), NOW)
    assert (found.effect, found.reason, found.device_id) == (Effect.DENY, Reason.DEVICE_UNMATCHED, "d2")


def test_what_is_never_noted_as_seen_would_be_new_for_ever() -> None:
    version = replace(first_policy(0.0), grace=NewDeviceGrace(DAY, 2))
    index = compiled(())

    def granted(device_id: str, protocol: Protocol, first_seen_at: float | None = None) -> bool:
        device = unmatched(device_id, first_seen_at=first_seen_at)
        return grace_of(device, protocol, of_person(device), index, version, NOW).granted

    assert granted("d1", Protocol.ACTIVESYNC)
    assert not granted("d1", Protocol.IMAP)
    assert granted("d1", Protocol.IMAP, NOW - 60.0)
    assert not granted(f"credential:{ID}", Protocol.ACTIVESYNC)
