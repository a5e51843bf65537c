"""What administrators, agents and the machine do during a soak: reports, edits, look-ups, reloads, new certificates."""

import asyncio
import os
import random
import signal
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.faults.agents import Reporter
from tests.faults.judging import Judge
from tests.network.authority import Authority
from tests.soak.tally import Tally
from tests.support.running import Running

DIRTY_SHARE = 0.12
SEEN_WITHIN_SECONDS = 15.0
"""A new certificate is shown by the listener."""
LATE_EDIT_SECONDS = 20.0
"""An edit that was not answered may be done as late as this, and undo one that comes after it."""


async def keep_reporting(reporter: Reporter, rng: random.Random, mean_pause_seconds: float) -> None:
    """Each of its devices once, then any of them at random, until cancelled."""
    for user, device in reporter.devices:
        await reporter.report(user, device, dirty=rng.random() < DIRTY_SHARE)
    while True:
        await asyncio.sleep(rng.expovariate(1 / mean_pause_seconds))
        user, device = rng.choice(reporter.devices)
        await reporter.report(user, device, dirty=rng.random() < DIRTY_SHARE)


async def hang_up(reporter: Reporter) -> None:
    """Close its connection."""
    if reporter._client is not None:
        await reporter._client.aclose()
        reporter._client = None


def new_certificate(authority: Authority, path: Path) -> None:
    """Put another certificate with its key into one file, at once."""
    issued = authority.issue()
    fresh = path.with_suffix(".new")
    fresh.touch(0o600)
    fresh.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    fresh.replace(path)
    issued.certificate.unlink()
    issued.key.unlink()


@dataclass(slots=True)
class Desk:
    """Does one thing after another."""

    gateway: Running
    https: str
    authority: Authority
    certificate: Path
    logins: list[str]
    judge: Judge
    tally: Tally
    rng: random.Random
    mean_pause_seconds: float = 6.0
    _doing: "asyncio.Task[None] | None" = None

    async def live(self) -> None:
        """Until cancelled; each edit that was begun is done to its end."""
        doings = (self.flag_to_and_fro, self.ban_to_and_fro, self.exempt, self.look, self.reload, self.certify)
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / self.mean_pause_seconds))
            self._doing = asyncio.create_task(self.do(self.rng.choice(doings)))
            # Shielded: half an edit would be in the way of the next one.
            await asyncio.shield(self._doing)

    async def finish(self) -> None:
        """Wait until what was begun is done."""
        if self._doing is not None:
            await self._doing

    async def do(self, doing: Callable[[], Awaitable[None]]) -> None:
        """One thing; what fails is an error."""
        try:
            await doing()
        except (httpx.HTTPError, OSError, AssertionError, TimeoutError) as error:
            self.tally.error(f"{doing.__name__}: {error!r}")
        else:
            self.tally.answered(doing.__name__)

    async def flag_to_and_fro(self) -> None:
        """Stop enforcing for a moment: all who are refused have mail meanwhile."""
        await self.set_flag(False)
        await asyncio.sleep(self.rng.uniform(0.0, 8.0))
        await self.set_flag(True)

    async def set_flag(self, enforced: bool) -> None:
        """Enforce the ban or not."""
        self.judge.model.enforced.sending(enforced)
        try:
            await self._ask("PUT", "/flags/bans/TikTok", {"flag": "enforce" if enforced else "report-only"})
        except httpx.HTTPError:
            await asyncio.sleep(LATE_EDIT_SECONDS)
            raise
        self.judge.model.enforced.acknowledged(time.monotonic())

    async def ban_to_and_fro(self) -> None:
        """A ban of an app that nobody has."""
        matcher = {"kind": "id", "value": "org.example.nobody", "platform": "android"}
        await self._ask("POST", "/bans", {"name": "Nobody", "matchers": [matcher], "flag": "enforce"})
        await self._ask("DELETE", "/bans/Nobody")

    async def exempt(self) -> None:
        """Somebody who does not exist is let through, and no longer."""
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        body = {"user": "nobody@corp.example", "reason": "soak", "ends_at": until}
        added = await self._ask("POST", "/exemptions", body)
        await self._ask("DELETE", f"/exemptions/{added.json()['id']}")

    async def look(self) -> None:
        """Status, and why for somebody."""
        await self._ask("GET", "/status")
        await self._ask("GET", f"/why?user={self.rng.choice(self.logins)}")

    async def reload(self) -> None:
        """As an operator does after a change of certificates."""
        os.kill(self.gateway.process.pid, signal.SIGHUP)

    async def certify(self) -> None:
        """Another certificate; it is shown before long, by itself or after SIGHUP."""
        before = await self._shown()
        await asyncio.to_thread(new_certificate, self.authority, self.certificate)
        if self.rng.random() < 0.5:
            os.kill(self.gateway.process.pid, signal.SIGHUP)
        async with asyncio.timeout(SEEN_WITHIN_SECONDS):
            while await self._shown() == before:  # noqa: ASYNC110  (another process)
                await asyncio.sleep(0.2)

    async def _shown(self) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        address = urlsplit(self.https)
        _, writer = await asyncio.wait_for(asyncio.open_connection(address.hostname, address.port, ssl=context), 10)
        try:
            shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return shown
        finally:
            writer.close()

    async def _ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        async with self.gateway.api() as api:
            answer = await api.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:200]}"
        return answer
