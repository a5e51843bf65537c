"""Who is asked for whom: always the same while it is healthy, and few move when one goes."""

import socket
from collections import Counter

import pytest

from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from gateway.network.upstreams import Upstreams

LOGINS = [f"user{number}@example.com" for number in range(3000)]


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def pools(*names: str) -> list[UpstreamPool]:
    return [UpstreamPool(f"https://{name}.internal", None) for name in names]


def test_one_is_asked_for_everybody() -> None:
    (only,) = pools("a")
    assert {Upstreams([only]).of(login) for login in LOGINS[:10]} == {only}


def test_everybody_has_a_place_that_stays() -> None:
    first, again = Upstreams(pools("a", "b", "c")), Upstreams(pools("c", "a", "b"))
    for login in LOGINS:
        assert first.of(login).url == again.of(login).url, "the order in the settings makes no difference"
    shares = Counter(first.of(login).url for login in LOGINS)
    assert min(shares.values()) > len(LOGINS) / 3 * 0.85


def test_when_one_is_taken_away_only_its_users_move() -> None:
    three, two = Upstreams(pools("a", "b", "c")), Upstreams(pools("a", "b"))
    for login in LOGINS:
        before = three.of(login).url
        assert before == "https://c.internal" or two.of(login).url == before


async def test_an_unhealthy_one_is_left_out_and_comes_back() -> None:
    now = [0.0]
    names = [UpstreamPool(f"http://127.0.0.1:{closed_port()}", None, now=lambda: now[0]) for _ in range(3)]
    upstreams = Upstreams(names)
    places = {login: upstreams.of(login) for login in LOGINS[:300]}
    ill = names[0]
    with pytest.raises(UpstreamUnavailable):
        await ill.connect()
    for login, place in places.items():
        assert upstreams.of(login) is not ill
        assert place is ill or upstreams.of(login) is place
    now[0] = 60.0
    assert {login: upstreams.of(login) for login in places} == places


async def test_when_all_are_unhealthy_somebody_is_asked() -> None:
    names = [UpstreamPool(f"http://127.0.0.1:{closed_port()}", None, now=lambda: 0.0) for _ in range(2)]
    upstreams = Upstreams(names)
    places = {login: upstreams.of(login) for login in LOGINS[:50]}
    for pool in names:
        with pytest.raises(UpstreamUnavailable):
            await pool.connect()
    assert {login: upstreams.of(login) for login in places} == places
    assert [each["healthy"] for each in upstreams.status()] == [False, False]
    assert [each["url"] for each in upstreams.status()] == [pool.url for pool in names]
