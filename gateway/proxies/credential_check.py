"""Whether the mail server accepts a client's credentials, asked only on the way to a refusal.

A refusal names an app on somebody's phone, so it is told only to somebody whose credentials the mail server accepts.
The question is harmless (OPTIONS; where a server answers that to anybody, a FolderSync with a key no server gave; where
it has no ActiveSync, one by another protocol that is open), remembered briefly under a keyed digest, and bounded per
user, so that a refused phone with an old password does not lock the account. Credentials that were accepted within the
last day are asked about beyond that bound, once: so nobody who guesses keeps the user with the right password from an
answer.
"""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar
from urllib.parse import quote

import structlog

from gateway.network.addresses import counted_as
from gateway.network.fetch import Fetched, fetch
from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from gateway.network.upstreams import Upstreams
from gateway.protocols.activesync.headers import usable_challenges
from gateway.protocols.activesync.requests import Credentials
from gateway.protocols.activesync.token_claims import read_claims
from gateway.proxies.attempts import Attempt, Attempts

log = structlog.get_logger()

T = TypeVar("T")

REMEMBERED_SECONDS = 60.0
REMEMBERED_MOST = 20_000
ONCE_ACCEPTED_SECONDS = 86_400.0
ONCE_ACCEPTED_MOST = 200_000
CHECKS_AT_ONCE = 256
"""Questions under way; whoever would be one more is put off."""
_PATH = b"/Microsoft-Server-ActiveSync"
_NO_SUCH_KEY = bytes.fromhex("03016a0000075652034e6f537563684b6579000101")
"""FolderSync with the SyncKey ``NoSuchKey`` ([MS-ASCMD] 2.2.1.5)."""


class CheckMethod(Enum):
    """How this mail server can be asked."""

    OPTIONS = "OPTIONS"
    FOLDER_SYNC = "FolderSync"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """How a mail server without ActiveSync can be asked: at a place that answers nobody without credentials."""

    method: bytes
    path: bytes

    @property
    def value(self) -> str:
        """For logs, as with the other ways."""
        return f"{self.method.decode('ascii')} {self.path.decode('ascii')}"


class Credibility(Enum):
    """What is known of credentials."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """Cannot be checked now."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The mail server's word on credentials."""

    credibility: Credibility
    challenges: tuple[bytes, ...] = ()
    """Its WWW-Authenticate values that a phone can use."""


_UNKNOWN = CheckResult(Credibility.UNKNOWN)
_ACCEPTED = CheckResult(Credibility.ACCEPTED)


class CredentialChecks:
    """Asks, remembers, and bounds the asking; one per process."""

    def __init__(
        self,
        upstreams: Upstreams,
        now: Callable[[], float] = time.time,
        attempts: Attempts | None = None,
        elsewhere: Sequence[Elsewhere] = (),
    ) -> None:
        self._upstreams = upstreams
        self._now = now
        self._key = secrets.token_bytes(32)
        self._known: dict[int, tuple[float, CheckResult]] = {}
        self._once: dict[int, int] = {}
        """Digests of credentials that were accepted, and until when that counts for anything, in whole seconds."""
        self._under_way: dict[int, asyncio.Task[CheckResult]] = {}
        self._attempts = Attempts(now) if attempts is None else attempts
        self._ways: tuple[CheckMethod | Elsewhere, ...] = (*CheckMethod, *elsewhere)
        self._methods: dict[str, CheckMethod | Elsewhere] = {}
        self._no_method_until: dict[str, float] = {}

    def known(self, login: str, credentials: Credentials) -> CheckResult | None:
        """What is remembered; None: ask."""
        found = self._known.get(self._digest(login, credentials))
        return found[1] if found is not None and self._now() < found[0] else None

    def accepted(self, login: str, credentials: Credentials) -> None:
        """The mail server has just accepted these in an answer of its own."""
        self._remember(self._digest(login, credentials), credentials, _ACCEPTED)

    async def check(self, login: str, credentials: Credentials, host: bytes, address: str = "") -> CheckResult:
        """The mail server's word, remembered or asked for. Never raises for a server that is away."""
        known = self.known(login, credentials)
        if known is not None:
            return known
        digest = self._digest(login, credentials)
        task = self._under_way.get(digest)
        if task is None:
            if len(self._under_way) >= CHECKS_AT_ONCE:
                return _UNKNOWN
            attempt = self._attempts.begin(login, counted_as(address))
            if attempt is None and self._once.get(digest, 0) <= self._now():
                return _UNKNOWN
            task = asyncio.create_task(self._ask(login, credentials, host, digest, attempt))
            self._under_way[digest] = task
        # Shielded: whoever asked first may go away, the others still wait for the same word.
        return await asyncio.shield(task)

    def begin_attempt(self, login: str, address: str) -> Attempt | None:
        """Count a question that somebody else asks, within the same bound; None: it must not be asked."""
        return self._attempts.begin(login, address)

    def did_not_fail(self, attempt: Attempt) -> None:
        """That question was no failed log-in."""
        self._attempts.did_not_fail(attempt)

    async def _ask(
        self, login: str, credentials: Credentials, host: bytes, digest: int, attempt: Attempt | None
    ) -> CheckResult:
        result = _UNKNOWN
        try:
            result = await self._asked(login, credentials, host)
        except UpstreamUnavailable as error:
            log.warning("credential_check_impossible", login=login, reason=str(error))
        finally:
            self._under_way.pop(digest, None)
            if result.credibility is Credibility.REJECTED:
                self._once.pop(digest, None)
            elif attempt is not None:
                self._attempts.did_not_fail(attempt)
        if result.credibility is not Credibility.UNKNOWN:
            self._remember(digest, credentials, result)
        return result

    async def _asked(self, login: str, credentials: Credentials, host: bytes) -> CheckResult:
        pool = self._upstreams.of(login)
        method = self._methods.get(pool.url) or await self.probe(pool, host)
        if method is None:
            return _UNKNOWN
        return _read(await _question(pool, method, credentials.user or login, credentials.raw, host))

    async def probe(self, pool: UpstreamPool, host: bytes) -> CheckMethod | Elsewhere | None:
        """Try with random credentials which question this server answers with 401; None: none did a moment ago.

        Raises ``UpstreamUnavailable``.
        """
        if self._now() < self._no_method_until.get(pool.url, 0.0):
            return None
        user = f"gatepost-probe-{secrets.token_hex(4)}"
        wrong = b"Basic " + base64.b64encode(f"{user}:{secrets.token_hex(16)}".encode())
        for method in self._ways:
            fetched = await _question(pool, method, user, wrong, host)
            if fetched.status == 401:
                self._methods[pool.url] = method
                return method
        self._no_method_until[pool.url] = self._now() + REMEMBERED_SECONDS
        log.warning("credential_check_not_possible", upstream=pool.url, status=fetched.status)
        return None

    async def close(self) -> None:
        """Wait for no answer any more."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _remember(self, digest: int, credentials: Credentials, result: CheckResult) -> None:
        until = self._now() + REMEMBERED_SECONDS
        if credentials.scheme == "bearer":
            claims = read_claims(credentials.token)
            if claims is not None and claims.expires_at is not None:
                until = min(until, claims.expires_at)
        _put(self._known, digest, (until, result), REMEMBERED_MOST)
        if result.credibility is Credibility.ACCEPTED:
            _put(self._once, digest, int(self._now() + ONCE_ACCEPTED_SECONDS), ONCE_ACCEPTED_MOST)

    def _digest(self, login: str, credentials: Credentials) -> int:
        text = login.encode() + b"\0" + credentials.raw
        return int.from_bytes(hashlib.blake2b(text, key=self._key, digest_size=16).digest())


def _put(memory: dict[int, T], digest: int, value: T, most: int) -> None:
    """Remember as the newest; of too many the oldest goes."""
    memory.pop(digest, None)
    while len(memory) >= most:
        del memory[next(iter(memory))]
    memory[digest] = value


async def _question(
    pool: UpstreamPool, method: CheckMethod | Elsewhere, user: str, authorization: bytes, host: bytes
) -> Fetched:
    if isinstance(method, Elsewhere):
        told = [(b"Authorization", authorization), (b"Depth", b"0"), (b"User-Agent", b"Gatepost")]
        return await fetch(pool, method.method, method.path, host, told)
    name = quote(user, safe="@").encode("ascii")
    fields = [(b"Authorization", authorization), (b"MS-ASProtocolVersion", b"14.1"), (b"User-Agent", b"Gatepost")]
    if method is CheckMethod.OPTIONS:
        return await fetch(pool, b"OPTIONS", _PATH + b"?User=" + name, host, fields)
    query = b"?Cmd=FolderSync&User=" + name + b"&DeviceId=gatepostcheck&DeviceType=Gatepost"
    fields.append((b"Content-Type", b"application/vnd.ms-sync.wbxml"))
    return await fetch(pool, b"POST", _PATH + query, host, fields, _NO_SUCH_KEY)


def _read(fetched: Fetched) -> CheckResult:
    if fetched.status == 401:
        usable = [usable_challenges(value) for value in fetched.all(b"www-authenticate")]
        return CheckResult(Credibility.REJECTED, tuple(filter(None, usable)))
    if 200 <= fetched.status < 300:
        return _ACCEPTED
    return _UNKNOWN
