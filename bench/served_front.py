"""Children of ``first_figures``: one HTTP front with many people in memory, and a minimal authorization server."""

import argparse
import asyncio
import logging
import os
import re
import socket
import sys
import time
from pathlib import Path

import structlog
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.sightings import SightingLog
from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.identity import IdentityRules
from gateway.domain.inventory import App, Naming, Platform, Scope
from gateway.domain.policy import PolicyVersion, policy_of
from gateway.observability.metrics import Metrics
from gateway.proxies.front import HttpFront, HttpFrontSettings

APPS = tuple(App(Platform.ANDROID, f"com.example.app{number}") for number in range(60))
BAN = Ban("TikTok", (Matcher(MatcherKind.ID, "com.zhiliaoapp.musically", Platform.ANDROID),), flag=Flag.ENFORCE)


def login_of(number: int) -> str:
    """The login that the load uses."""
    return f"user{number:06}@corp.example"


def device_of(number: int) -> str:
    """The canonical DeviceId that the load uses."""
    return f"phone{number:027}"


def record_of(number: int, now: float) -> PersonRecord:
    """A person with one clean phone."""
    login, device_id = login_of(number), device_of(number)
    source = SourceEvidence("mdm", device_id, Scope.DEVICE, Naming.IDENTIFIER, now, 86400.0, APPS, full_at=now)
    device = DeviceEvidence(device_id, BindingState.BOUND, (source,), first_seen_at=now, platform=Platform.ANDROID)
    return PersonRecord(login, known=True, logins=(login,), devices={device_id: device})


async def front(upstream: str, people: int) -> None:
    """Serve until killed; prints the port once every record is in memory."""
    now = time.time()

    async def read(login: str) -> PersonRecord:
        return record_of(int(login[4:10]), now)

    async def forget(rows: object) -> None:
        """Sightings go nowhere."""

    cache = DeviceCache(read, capacity=2 * people)
    decision = DecisionPoint(cache, policy_of(PolicyVersion(1, now, "bench", bans=(BAN,))))
    for number in range(people):
        await cache.load(login_of(number))
    settings = HttpFrontSettings(
        upstreams=(upstream,), max_connections=30_000, max_connections_per_address=30_000, requests_per_connection=10**9
    )
    sightings = SightingLog(forget)
    served = HttpFront(settings, decision, IdentityRules(), sightings, Metrics())
    await served.start()
    sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
    await served.listen(sock, None)
    print(sock.getsockname()[1], flush=True)
    await sightings.run()


_DEVICE = re.compile(rb"[?&]DeviceId=([^& ]*)")


class Authorizer(asyncio.Protocol):
    """Answers nginx's subrequests: 200 for a device that it knows, 403 for any other."""

    def __init__(self, known: frozenset[bytes]) -> None:
        self._known = known
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """nginx sends one small head at a time."""
        assert self._transport is not None
        found = _DEVICE.search(data)
        allowed = found is not None and found[1] in self._known
        status = b"200 OK" if allowed else b"403 Forbidden"
        self._transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")


async def authorizer(path: str, people: int) -> None:
    """Serve on a unix socket until killed."""
    known = frozenset(device_of(number).upper().encode() for number in range(people))
    server = await asyncio.get_running_loop().create_unix_server(lambda: Authorizer(known), path, backlog=1024)
    print(0, flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """``front UPSTREAM PEOPLE`` or ``authorizer PATH PEOPLE``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("front", "authorizer"))
    parser.add_argument("where")
    parser.add_argument("people", type=int)
    args = parser.parse_args()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    if os.environ.get("GATEPOST_BENCH_PROFILE"):
        import cProfile

        profile = cProfile.Profile()
        profile.enable()
    uvloop.run(front(args.where, args.people) if args.what == "front" else authorizer(args.where, args.people))


if __name__ == "__main__":
    main()
