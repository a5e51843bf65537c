"""HAProxy's sessions are found by their clients and shut down, and nobody else waits for it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.authz.haproxy_client import HaproxyClient
from gateway.authz.haproxy_means import HaproxyMeans
from gateway.protocols.authz import haproxy_runtime
from gateway.protocols.authz.haproxy_runtime import RuntimeSession
from tests.support.fake_haproxy import FakeHaproxy, fake_haproxy

MANY = 20_000


def line(number: int) -> str:
    """Of ``show sess``, as HAProxy 2.6 writes it."""
    client = f"2001:db8::{number % 0xFFFF + 1:x}:{10_000 + number % 50_000}"
    return (
        f"0x{0x55D8_0000_0000 + number:x}: proto=tcpv6 src={client} "
        "fe=mail be=mail_server srv=mail ts=00 epoch=0 age=1h2m calls=3 rate=0 cpu=0 lat=0 rq[f=848202h,i=0,an=00h]"
    )


@pytest.fixture
async def haproxy(tmp_path: Path) -> AsyncIterator[FakeHaproxy]:
    """One with many sessions."""
    async with fake_haproxy(tmp_path) as made:
        made.sessions = [line(number) for number in range(MANY)]
        yield made


async def test_one_among_many_is_shut_down_while_others_get_their_turn(
    haproxy: FakeHaproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look at all of them at once would be everybody's time: a second of 20,000."""
    turns, looks, sessions = 0, list[tuple[int, int]](), haproxy_runtime.sessions

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    def looked(text: str) -> tuple[RuntimeSession, ...]:
        looks.append((len(text), turns))
        return sessions(text)

    monkeypatch.setattr(haproxy_runtime, "sessions", looked)
    beside = asyncio.create_task(others())
    assert await HaproxyMeans([HaproxyClient(haproxy.url)]).cut(["2001:db8::2:10001"]) == 1
    beside.cancel()
    assert max(length for length, _ in looks) <= haproxy_runtime.PIECE_LONGEST
    assert len({turn for _, turn in looks}) == len(looks) > 30
    assert len(haproxy.sessions) == MANY - 1
    assert not any("src=2001:db8::2:10001 " in each for each in haproxy.sessions)


async def test_all_clients_are_listed(haproxy: FakeHaproxy) -> None:
    found = await HaproxyMeans([HaproxyClient(haproxy.url)]).sources()
    assert len(found) == MANY
    assert "2001:db8::1:10000" in found
