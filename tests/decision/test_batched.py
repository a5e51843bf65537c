"""What workers tell in batches: kept while it cannot be sent, and handed on when the worker ends in the middle."""

import asyncio
import json
from collections.abc import Callable, Sequence

import pytest

from gateway.decision.batched import BATCH, Batched, Send
from gateway.decision.effects import EffectLog
from gateway.decision.sightings import SightingLog
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Posture, Reason, Verdict


def refused(send: Send, people: Sequence[str]) -> Batched:
    log = EffectLog(send, lambda: 1_000.0)
    for name in people:
        log.record("cut", AccessRequest(name, "phone1"), Verdict(Effect.DENY, Reason.BANNED_APP, Posture.DIRTY, 3))
    return log


def seen(send: Send, people: Sequence[str]) -> Batched:
    log = SightingLog(send, lambda: 1_000.0)
    for name in people:
        log.record(
            login=name, device_id="phone1", device_type="", user_agent="", protocol_version="", client_address=""
        )
    return log


class Sink:
    """The control process: does not answer, or is away, for some calls."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.asked = asyncio.Event()
        self.silent = self.away = 0

    async def send(self, rows: Sequence[bytes]) -> None:
        if self.away:
            self.away -= 1
            raise OSError("no server")
        if self.silent:
            self.silent -= 1
            self.asked.set()
            await asyncio.Event().wait()
        self.told += [json.loads(row)["login"] for row in rows]


either = pytest.mark.parametrize("log_of", [refused, seen])
PEOPLE = [f"p{number}" for number in range(BATCH + 3)]


@either
async def test_all_that_waits_goes_in_batches_and_in_order(log_of: Callable[[Send, Sequence[str]], Batched]) -> None:
    sink = Sink()
    log = log_of(sink.send, PEOPLE)
    sink.away = 1
    await log.flush()
    assert sink.told == []
    await log.flush()
    assert sink.told == PEOPLE


@either
async def test_what_is_under_way_at_the_end_is_handed_on(log_of: Callable[[Send, Sequence[str]], Batched]) -> None:
    sink = Sink()
    sink.silent = 1
    running = asyncio.ensure_future(log_of(sink.send, PEOPLE).run(0.0))
    await asyncio.wait_for(sink.asked.wait(), 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sink.told == PEOPLE
