"""The words for the person who is refused."""

import pytest

from gateway.changes.plain import ASK, plain_words
from gateway.domain.access import AccessRequest, IdentityStrength
from gateway.domain.inventory import App, Platform
from gateway.domain.verdict import Effect, Posture, Reason, Verdict

PHONE = AccessRequest("ann@corp.example", "abc1")
ANYWHERE = AccessRequest("ann@corp.example", "", strength=IdentityStrength.USER_WIDE)
TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok")
REFUSED = Verdict(
    Effect.DENY, Reason.BANNED_APP, Posture.DIRTY, 7, ban="Clips", app=TIKTOK, source_id="mdm", evidence_at=400.0
)


def test_a_refusal_says_app_step_age_and_whom_to_ask() -> None:
    assert plain_words(PHONE, REFUSED, 1000.0) == (
        "Mail is blocked because of an app on this device: TikTok (com.zhiliaoapp.musically).",
        "Remove the app, and let the device report its apps again.",
        "This was reported 10 min ago.",
        ASK,
    )
    assert plain_words(ANYWHERE, REFUSED, 1000.0)[0].startswith(
        "Mail is blocked because of an app on one of your devices"
    )


def test_the_organization_s_own_words_go_first() -> None:
    noted = Verdict(Effect.DENY, Reason.BANNED_APP, Posture.DIRTY, 7, ban="Clips", note="Please remove it by Friday.")
    assert plain_words(PHONE, noted, 0.0)[:2] == (
        "Mail is blocked because of an app on this device: Clips.",
        "Please remove it by Friday.",
    )


@pytest.mark.parametrize("reason", list(Reason))
def test_every_refusal_has_whole_sentences_and_nobody_else_in_them(reason: Reason) -> None:
    told = plain_words(PHONE, Verdict(Effect.DENY, reason, Posture.UNKNOWN, 7, source_id="mdm-of-bob"), 0.0)
    assert told[-1] == ASK
    assert all(each[0].isupper() and each.endswith(".") and "{" not in each for each in told)
    assert "bob" not in " ".join(told)


def test_who_is_let_in_or_comes_back_is_told_so() -> None:
    allowed = Verdict(Effect.ALLOW, Reason.NOT_ENFORCED, Posture.DIRTY, 7, would=Effect.DENY)
    assert plain_words(PHONE, allowed, 0.0) == ("Mail is not blocked.",)
    deferred = Verdict(Effect.DEFER, Reason.STATE_UNAVAILABLE, Posture.UNKNOWN, 7)
    assert "by itself" in plain_words(PHONE, deferred, 0.0)[1]
