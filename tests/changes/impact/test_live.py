"""Which sessions a change would end."""

import pytest

from gateway.changes.impact.impact import Asked, impact_of
from gateway.changes.impact.live import LiveKey, live_on
from gateway.domain.access import Protocol
from gateway.domain.bans import Flag
from tests.support.evidence_strategies import NOW
from tests.support.impact_values import fleet, login, policy, tiktok

SYNC, IMAP = Protocol.ACTIVESYNC, Protocol.IMAP
SESSIONS = (
    LiveKey(login("ann"), "a1", SYNC),
    LiveKey(login("ann"), "a1", SYNC),
    LiveKey(login("bob"), "b2", SYNC),
    LiveKey(login("bob"), "", IMAP),
    LiveKey(login("cid"), "", IMAP),
    LiveKey(login("cid"), "unheard", SYNC),
    LiveKey("nobody@corp.example", "", IMAP),
)


@pytest.mark.parametrize(
    ("before", "after", "ended"),
    [
        (policy(), policy(tiktok()), {SYNC: 2, IMAP: 1}),
        (policy(), policy(tiktok(Flag.REPORT_ONLY)), {}),
        (policy(tiktok()), policy(), {}),
    ],
    ids=["enforced", "reported", "taken back"],
)
def test_sessions_that_would_end(before: object, after: object, ended: dict[Protocol, int]) -> None:
    found = fleet()
    live = live_on(found, SESSIONS)
    sessions = impact_of(found, before, after, NOW, Asked(live)).sessions  # type: ignore[arg-type]
    assert sessions.by_protocol == ended
    assert sessions.total == sum(ended.values())
    assert sessions.not_placed == 2


def test_without_sessions_none_end() -> None:
    found = fleet()
    assert impact_of(found, policy(), policy(tiktok()), NOW).sessions.total == 0
    assert impact_of(found, policy(), policy(tiktok()), NOW, Asked(live_on(found, ()))).sessions.total == 0
