"""Signed reports of 60 apps over HTTP, each committed before its 2xx: how many a second one control process takes.

Everything is signed beforehand; the control process shares its core with the rest of the gateway, agents have the
other. PostgreSQL is measured as well, with its defaults in a cluster of its own if it is installed, or by
``--postgresql URL``. ``bench.stores`` measures the store alone.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import uvloop

from bench.certificate import make_certificate
from bench.figures import Outcome, Table, at_share
from bench.fleet import app_list, catalogue, device_of, login_of
from bench.gatepost import gatepost
from bench.machine import LOAD_CORE, PROXY_CORE, cpu_seconds, on_core
from bench.options import Options
from gateway.domain.inventory import App
from tests.support import postgres_server

AGENTS = 64
DEVICES = 2_000


def measure(options: Options) -> Outcome:
    """A row per store."""
    outcome, rows, note = Outcome(), [], ""
    with ExitStack() as stack:
        stores = {"sqlite": ""}
        if options.postgresql or postgres_server.programs():
            stores["postgresql"] = options.postgresql or _postgresql(stack)
        else:
            note = f"PostgreSQL: {postgres_server.missing()}"
        found = {name: _one(url, options.reports) for name, url in stores.items()}
    for name, (seconds, cpu, delays) in found.items():
        rate = options.reports / seconds
        row = (f"{rate:,.0f}", f"{cpu / options.reports * 1e6:,.0f}", *(_ms(delays, share) for share in (0.5, 0.99)))
        rows.append((name, f"{options.reports:,}", *row))
        outcome.measured[f"reports/{name}"] = rate
        outcome.raw.append({"part": "reports", "store": name, "seconds": seconds, "cpu": cpu, "delays": delays})
    columns = ("store", "reports", "per second", "CPU µs each", "p50 ms", "p99 ms")
    outcome.show(Table(f"Reports of 60 apps by HTTP, committed, {AGENTS} agents at once", columns, rows, note))
    return outcome


def _postgresql(stack: ExitStack) -> str:
    """A server of our own, as durable as by default: its URL. Its processes share the load's core."""
    server = stack.enter_context(postgres_server.postgres_server())
    return server.database("bench")


def _ms(delays: Sequence[float], share: float) -> str:
    return f"{at_share(delays, share) * 1000:.1f}"


def _one(url: str, count: int) -> tuple[float, float, list[float]]:
    environment = {"GATEPOST_STORAGE__URL": url} if url else {}
    with TemporaryDirectory(prefix="gatepost-bench-") as name, on_core(LOAD_CORE):
        directory = Path(name)
        certificate = make_certificate(directory)
        with gatepost(
            PROXY_CORE, directory / "var", "http://127.0.0.1:9", certificate, environment=environment
        ) as gateway:
            with gateway.api() as api:
                # A name of its own: a database may have been measured before.
                source = {"name": f"bench{time.time_ns()}", "kind": "push", "devices": "*"}
                answer = api.post("/sources", json=source)
                answer.raise_for_status()
                secret = answer.json()["secret"]
            warm = requests(source["name"], secret, min(200, count), 0)
            uvloop.run(send(gateway.inventory, warm))
            signed = requests(source["name"], secret, count, 1)
            before, began = cpu_seconds(gateway.pids), time.perf_counter()
            delays = uvloop.run(send(gateway.inventory, signed))
            return time.perf_counter() - began, cpu_seconds(gateway.pids) - before, delays


def requests(source: str, secret: str, count: int, turn: int) -> list[bytes]:
    """Signed requests, ready to be sent; each device again and again, with one app changed each time."""
    generator, apps = random.Random(turn), catalogue()
    lists = [list(app_list(apps, generator)) for _ in range(min(count, DEVICES))]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = []
    for number in range(count):
        device = number % len(lists)
        lists[device][number % 60] = apps[generator.randrange(len(apps))]
        made.append(_signed(source, key, device, turn * 1_000_000 + number + 1, lists[device]))
    return made


def _signed(source: str, key: bytes, device: int, sequence: int, apps: Sequence[App]) -> bytes:
    at = datetime.now(UTC)
    name, stamp = f"msg-{source}-{sequence}", str(int(at.timestamp()))
    body = json.dumps(_event(name, device, sequence, apps, at)).encode()
    digest = hmac.new(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return (
        "POST /inventory/v1/reports HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/cloudevents+json\r\n"
        f"gatepost-source: {source}\r\nwebhook-id: {name}\r\nwebhook-timestamp: {stamp}\r\n"
        f"webhook-signature: v1,{base64.b64encode(digest).decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _event(name: str, device: int, sequence: int, apps: Sequence[App], at: datetime) -> dict[str, object]:
    moment = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ids = (("mdm_id", f"mdm-{device:06}"), ("user", login_of(device)), ("eas_device_id", device_of(device)))
    return {
        "specversion": "1.0",
        "id": name,
        "source": "https://agent.example/fleet",
        "type": "com.example.mailgateway.app-inventory.full.v1",
        "subject": f"android/mdm-{device:06}",
        "time": moment,
        "datacontenttype": "application/json",
        "sequence": f"{sequence:020}",
        "data": {
            "kind": "full",
            "scope": "device",
            "generated_at": moment,
            "sequence": sequence,
            "collector": {"name": "bench", "version": "1", "platform": "android", "os_version": "16"},
            "device": {"ids": [{"type": kind, "value": value} for kind, value in ids], "ownership": "company"},
            "app_count": len(apps),
            "apps": [{"platform": "android", "id": app.id, "name": app.name, "version": app.version} for app in apps],
        },
    }


@dataclass(slots=True)
class _Agent(asyncio.Protocol):
    """One connection of an agent; a report at a time."""

    answer: "asyncio.Future[bytes] | None" = None
    transport: asyncio.WriteTransport | None = None
    buffer: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        length = head.lower().rpartition(b"content-length: ")[2].split(b"\r\n")[0]
        if separator and self.answer is not None and len(body) >= int(length):
            self.answer.set_result(self.buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionError("the receiver hung up"))

    async def send(self, request: bytes) -> bytes:
        """The answer to one report."""
        assert self.transport is not None
        self.buffer, self.answer = b"", asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await asyncio.wait_for(self.answer, 30)


async def send(url: str, signed: Sequence[bytes]) -> list[float]:
    """Send all by so many agents: seconds until each was acknowledged."""
    waiting: Iterator[bytes] = iter(signed)
    delays: list[float] = []
    address = urlsplit(url)

    async def agent() -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Agent, address.hostname or "", address.port or 0)
        for request in waiting:
            began = time.perf_counter()
            answer = await connection.send(request)
            delays.append(time.perf_counter() - began)
            if not answer.startswith(b"HTTP/1.1 202"):
                raise SystemExit(f"a report was answered {answer[:600]!r}")
        assert connection.transport is not None
        connection.transport.close()

    await asyncio.gather(*(agent() for _ in range(AGENTS)))
    return delays
