"""An HTTP front on loopback with a real decision point, over records that a test writes by hand."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.sightings import SightingLog
from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.identity import IdentityRules
from gateway.domain.inventory import App, Naming, Platform, Scope
from gateway.domain.matching import compiled
from gateway.domain.policy import Policy, first_policy
from gateway.domain.shown import Demands
from gateway.network.tls import ServerTls
from gateway.observability.metrics import Metrics
from gateway.ports.store import StoreUnavailable
from gateway.protocols.activesync.requests import Credentials, read_authorization
from gateway.proxies.client_certificates import ClientCertificates
from gateway.proxies.front import HttpFront, HttpFrontSettings
from tests.support.raw_http import Client, basic

TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically")
CLEAN_APP = App(Platform.ANDROID, "com.google.android.gm")
BAN = Ban("TikTok", (Matcher(MatcherKind.ID, TIKTOK.id, Platform.ANDROID),), flag=Flag.ENFORCE)


Certificates = Callable[[Callable[[], float]], ClientCertificates]
"""Makes the reader of client certificates for a front's own time."""


class Clock:
    """A clock that a test can put forward."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.ahead = 0.0

    def __call__(self) -> float:
        """Seconds, as the clock behind this one counts them."""
        return self._clock() + self.ahead


class Evidence:
    """The records, and the gates that hold their reading back."""

    def __init__(self) -> None:
        self.records: dict[str, PersonRecord] = {}
        self.sequence = 0
        self.unavailable = False
        self.gate: asyncio.Event | None = None
        """Set to an unset event: every read waits for it."""
        self.gates: dict[str, asyncio.Event] = {}
        """By login: the reads of that one's record wait for it."""
        self.reads = 0

    def put(self, login: str, device_id: str, *apps: App, keys: tuple[str, ...] = ()) -> int:
        """Write what a device has; returns the change's sequence. ``keys``: what a certificate may call it."""
        self.sequence += 1
        now = time.time()
        source = SourceEvidence(
            *("mdm", device_id, Scope.DEVICE, Naming.IDENTIFIER, now, 86400.0, (CLEAN_APP, *apps)),
            full_at=now,
            keys=keys,
        )
        device = DeviceEvidence(
            device_id, BindingState.BOUND, (source,), first_seen_at=now - 1e6, platform=Platform.ANDROID
        )
        record = self.records.get(login) or PersonRecord(login, known=True, logins=(login,))
        devices = {**record.devices, device_id: device}
        self.records[login] = replace(record, devices=devices, sequence=self.sequence)
        return self.sequence

    async def read(self, login: str) -> PersonRecord:
        """What the cache calls."""
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        if login in self.gates:
            await self.gates[login].wait()
        if self.unavailable:
            raise StoreUnavailable("away")
        found = self.records.get(login)
        return found or PersonRecord(login, known=False, logins=(login,), sequence=self.sequence)


def policy(*bans: Ban, number: int = 1) -> Policy:
    """A policy version with these bans."""
    version = replace(first_policy(0.0), number=number, bans=bans)
    return Policy(version, compiled(bans))


class Fronted:
    """The front with everything behind it."""

    def __init__(
        self,
        settings: HttpFrontSettings,
        rules: IdentityRules,
        certificates: Certificates | None = None,
        demands: Demands | None = None,
    ) -> None:
        self.now = Clock(time.time)
        self.clock = Clock(time.monotonic)
        self.evidence = Evidence()
        self.cache = DeviceCache(self.evidence.read)
        self.decision = DecisionPoint(self.cache, policy(BAN), self.now, demands)
        self.sighted: list[bytes] = []
        self.sightings = SightingLog(self._take)
        self.metrics = Metrics()
        self.certificates = certificates and certificates(self.now)
        self.front = HttpFront(
            *(settings, self.decision, rules, self.sightings, self.metrics),
            certificates=self.certificates,
            now=self.now,
        )
        self.front.clock = self.clock
        self.url = ""
        self._clients: list[Client] = []

    async def _take(self, rows: Sequence[bytes]) -> None:
        self.sighted.extend(rows)

    async def listen(self, tls: ServerTls | None = None, *, send_buffer: int = 0) -> str:
        """Serve on a free port; ``send_buffer`` in octets makes the kernel take little of an answer."""
        sock = socket.socket()
        if send_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        sock.bind(("127.0.0.1", 0))
        await self.front.listen(sock, tls)
        return f"{'https' if tls else 'http'}://127.0.0.1:{sock.getsockname()[1]}"

    async def client(self, source: str = "", tls: ssl.SSLContext | None = None) -> Client:
        """A phone's connection; ``source``: the address of this machine that it comes from."""
        client = await Client.connected(self.url, source, tls)
        self._clients.append(client)
        return client

    def clean(self, login: str, device_id: str) -> None:
        """The device has no banned app; heard of at once."""
        self.decision.changed(login, self.evidence.put(login, device_id))

    def dirty(self, login: str, device_id: str) -> None:
        """The device has a banned app; heard of at once, and its sessions re-judged as soon as the record is read."""
        self.decision.changed(login, self.evidence.put(login, device_id, TIKTOK))

    async def ban(self, *bans: Ban) -> None:
        """Put a policy version with these bans in force; returns when every live session has been judged by it."""
        await self.decision.use(policy(*bans, number=self.decision.policy.version.number + 1))

    async def ban_from(self, starts_at: float) -> None:
        """The ban enforces from a moment on."""
        await self.ban(replace(BAN, starts_at=starts_at))

    async def known(self, login: str) -> None:
        """Have the record in memory."""
        await self.cache.load(login)

    def proved(self, login: str) -> None:
        """The mail server has accepted this login's credentials (``raw_http.basic``) a moment ago."""
        credentials = read_authorization(basic(login).encode())
        assert isinstance(credentials, Credentials)
        self.front.checks.accepted(login, credentials)

    def counted(self, name: str, *labels: str) -> float:
        """A metric's value."""
        return self.metrics.families[name].get(*labels)

    def ended(self, command: str, outcome: str) -> float:
        """How many requests ended so."""
        return self.counted("gatepost_requests_total", command, outcome)

    async def close(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        await self.front.close()
        await self.decision.close()
        await settled()


@asynccontextmanager
async def fronted(
    *upstreams: str,
    rules: IdentityRules | None = None,
    start: bool = False,
    send_buffer: int = 0,
    certificates: Certificates | None = None,
    demands: Demands | None = None,
    **settings: object,
) -> AsyncIterator[Fronted]:
    """A front that serves; ``start``: with its start-up questions to the mail server and its sweep of deadlines."""
    made = HttpFrontSettings(upstreams=upstreams, **settings)  # type: ignore[arg-type]
    front = Fronted(made, rules or IdentityRules(), certificates, demands)
    if start:
        await front.front.start()
    front.url = await front.listen(send_buffer=send_buffer)
    try:
        yield front
    finally:
        await front.close()


async def settled() -> None:
    """Let everything happen that needs no octet from outside."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until_still(measure: Callable[[], float]) -> None:
    """Go round the loop until a number has not changed for a tenth of a second."""
    loop = asyncio.get_running_loop()
    last, since = measure(), loop.time()
    async with asyncio.timeout(30):
        while loop.time() - since < 0.1:
            await asyncio.sleep(0)
            if measure() != last:
                last, since = measure(), loop.time()


async def until(condition: Callable[[], bool], within_seconds: float = 10.0) -> None:
    """Go round the loop until something is so."""
    async with asyncio.timeout(within_seconds):
        while not condition():  # noqa: ASYNC110  (nothing tells of it: the condition is the kernel's or another's state)
            await asyncio.sleep(0)
