"""What workers note for the audit log: first refusals, every cut, and no more than so many."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.decision.effects import BURST, PER_SECOND, WAITING, EffectLog
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.verdict import Effect, Posture, Reason, Verdict
from tests.support.evidence_strategies import NOW

ASKED = AccessRequest("ann@corp.example", "phone1", Protocol.ACTIVESYNC, IdentityStrength.DEVICE_ID)
DENIED = Verdict(Effect.DENY, Reason.BANNED_APP, Posture.DIRTY, 3, ban="TikTok")


class Site:
    """A log of effects, its clock, and where its rows go."""

    def __init__(self) -> None:
        self.now = NOW
        self.away = False
        self.rows: list[dict[str, Any]] = []
        self.effects = EffectLog(self.send, lambda: self.now)

    async def send(self, rows: Sequence[bytes]) -> None:
        if self.away:
            raise OSError("no server")
        self.rows += map(json.loads, rows)

    async def told(self) -> list[dict[str, Any]]:
        await self.effects.flush()
        rows, self.rows = self.rows, []
        return rows


async def test_a_refusal_is_noted_once_for_each_device_and_policy_version() -> None:
    site = Site()
    for version in (3, 3, 4):
        for device in ("phone1", "phone2"):
            site.effects.record("refused", ASKED._replace(device_id=device), replace(DENIED, policy_version=version))
    told = await site.told()
    assert [(row["device"], row["policy_version"]) for row in told] == [
        ("phone1", 3),
        ("phone2", 3),
        ("phone1", 4),
        ("phone2", 4),
    ]
    assert await site.told() == []


async def test_every_cut_is_noted() -> None:
    site = Site()
    for _ in range(3):
        site.effects.record("cut", ASKED, DENIED)
    assert [row["event"] for row in await site.told()] == ["cut"] * 3


async def test_what_was_only_put_off_is_no_effect() -> None:
    site = Site()
    site.effects.record("refused", ASKED, replace(DENIED, effect=Effect.DEFER))
    assert await site.told() == []


async def test_too_many_are_counted_and_the_count_is_told() -> None:
    site = Site()
    for number in range(int(BURST) + 50):
        site.effects.record("refused", ASKED._replace(login=f"p{number}"), DENIED)
    told = await site.told()
    assert sum("event" in row for row in told) == int(BURST)
    assert {"dropped": 50} in told
    assert site.effects.dropped == 50
    site.now += 1
    for number in range(int(PER_SECOND) + 7):
        site.effects.record("cut", ASKED._replace(login=f"q{number}"), DENIED)
    assert {"dropped": 7} in await site.told()


async def test_what_cannot_be_sent_waits_within_bounds() -> None:
    site = Site()
    site.away = True
    for number in range(WAITING + 10):
        site.now += 1
        site.effects.record("cut", ASKED._replace(login=f"p{number}"), DENIED)
    await site.effects.flush()
    site.away = False
    told = await site.told()
    assert sum("event" in row for row in told) == WAITING
    assert {"dropped": 10} in told


async def test_the_refusal_log_notes_what_it_writes_a_line_of() -> None:
    site = Site()
    written = RefusalLog(RefusalPace(), site.effects)
    written.write_down("refused", ASKED, DENIED)
    written.write_down("cut", ASKED, DENIED, "haproxy")
    assert [(row["event"], row["login"], row["asker"]) for row in await site.told()] == [
        ("refused", "ann@corp.example", ""),
        ("cut", "ann@corp.example", "haproxy"),
    ]
