"""Verdicts as the decision point gives them, for what is written from them."""

from gateway.domain.inventory import App, Platform
from gateway.domain.verdict import Effect, Posture, Reason, Verdict

ALLOW = Verdict(Effect.ALLOW, Reason.CLEAN, Posture.CLEAN, 7, valid_until=1_900_000_000.5)
DENY = Verdict(
    *(Effect.DENY, Reason.BANNED_APP, Posture.DIRTY, 7),
    ban="TikTok",
    app=App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok"),
    note="Remove it:\nask +49 30 1234.",
)
DEFER = Verdict(Effect.DEFER, Reason.STATE_UNAVAILABLE, Posture.UNKNOWN, 7)
