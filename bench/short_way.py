"""What each step of the short way costs by itself, over many different phones and without sockets.

``python -m bench.short_way``. The least of many rounds counts; the steps are those of ``proxies/usual_exchange``.
"""

import argparse
import base64
import json
import random
import socket
import time
from collections.abc import Callable
from typing import Any

import uvloop

from bench.fleet import app_list, catalogue, device_of, login_of
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.sightings import SightingLog
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.identity import IdentityRules
from gateway.domain.inventory import Naming, Platform, Scope
from gateway.domain.policy import first_policy, policy_of
from gateway.network.upstream_connection import UpstreamConnection
from gateway.observability.metrics import Metrics
from gateway.protocols.activesync.usual import forwarded_usual, recognise
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.front import HttpFront, HttpFrontSettings
from gateway.proxies.standing import mark_of

CONNECTIONS = 64
AT_ONCE = 1000
BODY = b"\x03\x01\x6a\x00\x45\x5c\x4f\x4b\x03" + b"5" * 182 + b"\x00\x01\x01\x01\x01\x01\x01\x01\x01"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Thu, 26 Nov 2026 02:19:31 GMT\r\nContent-Length: 1400\r\n"
    b"Content-Type: application/vnd.ms-sync.wbxml\r\nConnection: keep-alive\r\n\r\n" + b"m" * 1400
)


class Nowhere:
    """A transport that takes everything."""

    def __init__(self) -> None:
        self._pair = socket.socketpair()

    def write(self, octets: bytes) -> None:
        """Drop them."""

    def is_closing(self) -> bool:
        """Never."""
        return False

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def get_extra_info(self, name: str) -> object:
        """An address, and a socket on which nothing comes."""
        return ("127.0.0.1", 1) if name == "peername" else self._pair[0]


def asked_by(number: int) -> bytes:
    """What a phone sends, as in ``eas_load.lua``."""
    login = login_of(number)
    secret = base64.b64encode(f"{login}:secret".encode()).decode()
    return (
        f"POST /Microsoft-Server-ActiveSync?Cmd=Sync&User={login}&DeviceId=PHONE{number:027}&DeviceType=Android "
        f"HTTP/1.1\r\nHost: mail.corp.example\r\nAuthorization: Basic {secret}\r\nMS-ASProtocolVersion: 14.1\r\n"
        "X-MS-PolicyKey: 3942919513\r\nConnection: keep-alive\r\nAccept: */*\r\nAccept-Language: en-us\r\n"
        "User-Agent: Android-Mail/2026.10.04.684921846.Release\r\nContent-Type: application/vnd.ms-sync.wbxml\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY


async def front_of(people: int) -> HttpFront:
    """A front with every record in memory."""
    now, apps = time.time(), app_list(catalogue(), random.Random(1))

    async def read(login: str) -> PersonRecord:
        device_id = device_of(int(login[4:10]))
        source = SourceEvidence("mdm", device_id, Scope.DEVICE, Naming.IDENTIFIER, now, 86_400.0, apps, full_at=now)
        device = DeviceEvidence(device_id, BindingState.BOUND, (source,), first_seen_at=now, platform=Platform.ANDROID)
        return PersonRecord(login, known=True, logins=(login,), devices={device_id: device})

    async def forget(rows: object) -> None:
        """Sightings go nowhere."""

    cache = DeviceCache(read, capacity=2 * people)
    for number in range(people):
        await cache.load(login_of(number))
    decision = DecisionPoint(cache, policy_of(first_policy(now)))
    settings = HttpFrontSettings(upstreams=("http://127.0.0.1:9",), requests_per_connection=10**9)
    return HttpFront(settings, decision, IdentityRules(), SightingLog(forget), Metrics())


async def main(people: int, rounds: int) -> None:
    """Print a row per step."""
    front = await front_of(people)
    decision, pool = front.decision, front.upstreams.pools[0]
    clients = []
    for _ in range(CONNECTIONS):
        upstream, client = UpstreamConnection(pool), ClientConnection(front, secure=False)
        for each in (upstream, client):
            each.connection_made(Nowhere())  # type: ignore[arg-type]
        pool.put_back(upstream)
        clients.append(client)
    asked = [asked_by(number) for number in range(people)]
    known = [each for each in map(recognise, asked) if each is not None]
    way, sessions = front.short_way, decision.sessions

    def whole(number: int) -> None:
        client = clients[number % CONNECTIONS]
        client.data_received(asked[number])
        front.rounds._end()
        front.rounds._open = True
        client.exchange._upstream.data_received(ANSWER)  # type: ignore[union-attr]
        front.rounds.number += 1

    def registered(number: int) -> None:
        sessions.add(way, login_of(number))  # type: ignore[arg-type]
        sessions.discard(way, login_of(number))  # type: ignore[arg-type]

    def stands(number: int) -> None:
        standing = way.standings.by_mark[mark_of(known[number][2], known[number][3])]
        assert standing.holds(decision, 0.0)

    def took(number: int) -> None:
        connection = pool.take_settled(front.clock())
        assert connection is not None
        pool.put_back(connection)
        front.rounds.number += 1

    steps: dict[str, Callable[[int], Any]] = {
        "nothing": lambda number: None,
        "recognise the request": lambda number: recognise(asked[number]),
        "look up who is asking and whether the verdict stands": stands,
        "register and forget the session": registered,
        "take a connection and give it back": took,
        "write the request anew": lambda number: forwarded_usual(known[number][0], clients[0].forwarded_end),
        "recognise the answer": lambda number: way.answers.read(ANSWER),
        "all of a request and its answer": whole,
    }
    # No loop turns here: the rounds are counted by hand.
    front.rounds._open = True
    front.rounds.number += 1
    for number in range(people):
        whole(number)
        if number % AT_ONCE == 0:
            await front.sighted._sightings.flush()
    for name, step in steps.items():
        print(json.dumps({"what": name, "us": round(least(step, people, rounds), 2)}), flush=True)


def least(step: Callable[[int], Any], people: int, rounds: int) -> float:
    """Microseconds per call in the best round."""
    best = float("inf")
    for turn in range(rounds):
        numbers = [(turn * AT_ONCE + each) * 7919 % people for each in range(AT_ONCE)]
        began = time.perf_counter()
        for number in numbers:
            step(number)
        best = min(best, time.perf_counter() - began)
    return best / AT_ONCE * 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    uvloop.run(main(args.people, args.rounds))
