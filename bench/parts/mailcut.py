"""From the 2xx of a report to the end of a mail session: in IDLE, in a FETCH, parked in POP3, in SMTP; and what it saw.

Everything is real but the mail server behind, which does as little as it can: ``gatepost run``, signed reports by
HTTP, mail programs on their own connections, 1,000 more of them in IDLE meanwhile. An end before the 2xx counts as 0.
Nothing is kept to a core: mail programs, mail server and clock are one process beside the gateway's.
"""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from bench.certificate import Certificate, make_certificate
from bench.figures import Outcome, Table, at_share
from bench.fleet import login_of
from bench.loads.mail_client import (
    MailClient,
    WrongAnswer,
    begin_message,
    connected,
    idle,
    imap_login,
    message_of,
    pop3_login,
    smtp_login,
    submit,
)
from bench.loads.mail_server import MailTally, mail_servers
from bench.options import Options
from tests.support.reporting import TIKTOK, Agent
from tests.support.running import Running, running

TURNS = 1_000
PARKED = 1_000
AT_ONCE = 200
TURNING = 50
"""People who turn to and fro, one after the other."""
PATIENCE_SECONDS = 60.0
LITERAL = 20_000_000_000
"""Octets of the message that is never read to its end."""
MESSAGE = message_of(4_000)
SENT_BEFORE = 2_000
"""Octets of it that are sent before the report."""
_FRONTS = """
[tls]
certificate = "{certificate}"
key = "{key}"
[imap]
listen = ["imap://127.0.0.1:0", "imaps://127.0.0.1:0"]
upstream = "imap://127.0.0.1:{imap}"
cleartext_login = true
[pop3]
listen = ["pop3://127.0.0.1:0"]
upstream = "pop3://127.0.0.1:{pop3}"
cleartext_login = true
[smtp]
listen = ["smtp://127.0.0.1:0"]
upstream = "smtp://127.0.0.1:{smtp}"
cleartext_login = true
"""


@dataclass(frozen=True, slots=True)
class Way:
    """How somebody is connected when the report comes."""

    title: str
    scheme: str
    park: Callable[[MailClient, int], Awaitable[None]]
    seen: Callable[[MailClient], str]
    """What the client saw at its end, in words. Raises ``WrongAnswer`` for what it must not see."""
    behind: bytes = b""
    """What the client goes on to say when the report is acknowledged."""


async def _in_idle(client: MailClient, number: int) -> None:
    await imap_login(client, number)
    await idle(client)


async def _in_fetch(client: MailClient, number: int) -> None:
    await imap_login(client, number)
    client.say(b"c FETCH 1 BODY.PEEK[]<0.%d>\r\n" % LITERAL)
    await client.until(b"}\r\n")
    client.swallow(LITERAL)
    begun = client.octets
    async with asyncio.timeout(PATIENCE_SECONDS):
        while client.octets < begun + 1_000_000:  # noqa: ASYNC110  (it is read by the loop)
            await asyncio.sleep(0.001)


async def _in_pop3(client: MailClient, number: int) -> None:
    await pop3_login(client, number)
    await client.ask(b"STAT\r\n", b"+OK")


async def _between_messages(client: MailClient, number: int) -> None:
    await smtp_login(client, number)
    await submit(client, number, MESSAGE)


async def _in_data(client: MailClient, number: int) -> None:
    await smtp_login(client, number)
    await begin_message(client, number)
    client.say(MESSAGE[:SENT_BEFORE])


def _ended_with(*words: bytes) -> Callable[[MailClient], str]:
    """Exactly these lines, by their beginnings."""

    def seen(client: MailClient) -> str:
        lines = client.received.splitlines()
        if len(lines) != len(words) or not all(map(bytes.startswith, lines, words)):
            raise WrongAnswer(f"{client.received[-300:]!r} in place of {words!r}")
        return ", ".join(word.decode() for word in words) or "closed without a word"

    return seen


def _ended_within(client: MailClient) -> str:
    if client.received:
        raise WrongAnswer(f"{client.received[-300:]!r} behind a literal that was cut off")
    return "reset in the literal" if client.reset else "closed in the literal"


WAYS = (
    Way("IMAP in IDLE", "imap", _in_idle, _ended_with(b"* BYE [ALERT]")),
    Way("the same over TLS", "imaps", _in_idle, _ended_with(b"* BYE [ALERT]")),
    Way("IMAP in a FETCH", "imap", _in_fetch, _ended_within),
    Way("POP3, parked", "pop3", _in_pop3, _ended_with()),
    Way("SMTP between messages", "smtp", _between_messages, _ended_with(b"421 4.7.0")),
    Way("SMTP in DATA", "smtp", _in_data, _ended_with(b"250 ", b"421 4.7.0"), MESSAGE[SENT_BEFORE:]),
)


def measure(options: Options) -> Outcome:
    """A row per way, with as many workers as the most that were asked for."""
    outcome, workers = Outcome(), max(options.workers)
    parked, turns = (50, 20) if options.quick else (PARKED, TURNS)
    found = uvloop.run(_measured(workers, parked, turns))
    rows = []
    for title, (seconds, seen, octets) in found.items():
        shares = (f"{max(0.0, at_share(seconds, share)) * 1000:.2f}" for share in (0.5, 0.99, 1.0))
        early = sum(each < 0 for each in seconds)
        words = "; ".join(f"{count:,} {word}" for word, count in seen.most_common())
        rows.append((title, f"{len(seconds):,}", *shares, f"{early:,}", f"{octets:,}", words))
        outcome.raw.append(
            {"part": "mailcut", "workers": workers, "way": title, "seconds": seconds, "seen": dict(seen)}
        )
    outcome.measured["mailcut/p99"] = max(0.0, *(at_share(seconds, 0.99) for seconds, _, _ in found.values())) * 1000
    columns = ("session", "turns", "p50 ms", "p99 ms", "longest ms", "before the 2xx", "octets after it", "client saw")
    title = f"From the 2xx of a report to the end of a mail session, {workers} workers, {parked:,} more in IDLE"
    outcome.show(Table(title, columns, rows, "Octets: the most that one got after the 2xx."))
    return outcome


Found = dict[str, tuple[list[float], Counter[str], int]]


async def _measured(workers: int, parked: int, turns: int) -> Found:
    servers, to = await mail_servers(MailTally())
    with tempfile.TemporaryDirectory(prefix="gatepost-mailcut-") as name:
        directory = Path(name)
        made = make_certificate(directory)
        more = _FRONTS.format(certificate=made.certificate, key=made.key, **to)
        # The phones' way is not asked for anything here.
        async with running(directory, "http://127.0.0.1:9", workers=workers, more=more) as gateway:
            source = await gateway.gatepost("source", "add", "agents", "--kind", "push", "--devices", "*", "--json")
            agent = Agent(gateway.inventory, json.loads(source)["secret"])
            await gateway.gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK}", "--flag", "enforce", "--yes")
            turning = TurningSessions(gateway, agent, made)
            waiting = await turning.enrol(parked)
            found = {way.title: await turning.turns(way, turns) for way in WAYS}
            at_once = min(AT_ONCE, parked)
            found[f"IMAP in IDLE, {at_once} at once"] = await turning.all_at_once(WAYS[0], waiting[:at_once])
            for client in waiting:
                client.close()
            await agent.client.aclose()
    for server in servers:
        server.close()
    return found


class TurningSessions:
    """Mail programs in front of one gateway, whose people turn to and fro by reports."""

    def __init__(self, gateway: Running, agent: Agent, certificate: Certificate) -> None:
        self._agent = agent
        self._trust = certificate.client()
        urls = [urlsplit(url) for part in ("imap", "pop3", "smtp") for url in gateway.listening[part]]
        self._ports = {url.scheme: url.port or 0 for url in urls}

    async def enrol(self, count: int) -> list[MailClient]:
        """Report them all clean; those behind the first few wait in IDLE from now on."""
        room = asyncio.Semaphore(16)

        async def clean(number: int) -> None:
            async with room:
                await self._agent.clean(login_of(number), f"PHONE{number:05}")

        await asyncio.gather(*(clean(number) for number in range(TURNING + count)))
        return [await self._parked(WAYS[0], TURNING + number) for number in range(count)]

    async def _parked(self, way: Way, number: int) -> MailClient:
        """Somebody who may have mail; a worker may hear of that a moment later than we."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            client = await connected(self._ports[way.scheme], self._trust if way.scheme.endswith("s") else None)
            try:
                await way.park(client, number)
                return client
            except WrongAnswer:
                client.close()
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(0.005)

    async def turns(self, way: Way, count: int) -> tuple[list[float], Counter[str], int]:
        """One after the other: seconds from the 2xx to the end, what was seen, and the most octets after the 2xx."""
        found, seen, most = list[float](), Counter[str](), 0
        for turn in range(count):
            number = turn % TURNING
            client = await self._parked(way, number)
            seconds, octets = await self._turned(way, client, number)
            found.append(seconds)
            seen[way.seen(client)] += 1
            most = max(most, octets)
            await self._agent.clean(login_of(number), f"PHONE{number:05}")
        return found, seen, most

    async def all_at_once(self, way: Way, clients: Sequence[MailClient]) -> tuple[list[float], Counter[str], int]:
        """The same for people who wait already, all in one moment."""
        turned = await asyncio.gather(
            *(self._turned(way, client, TURNING + number) for number, client in enumerate(clients))
        )
        return [each for each, _ in turned], Counter(map(way.seen, clients)), max(octets for _, octets in turned)

    async def _turned(self, way: Way, client: MailClient, number: int) -> tuple[float, int]:
        if client.ended_at:
            raise WrongAnswer(f"{way.title} ended before the report behind {client.received[-300:]!r}")
        await self._agent.dirty(login_of(number), f"PHONE{number:05}")
        acknowledged_at, octets = time.perf_counter(), client.octets
        client.say(way.behind)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(client.ended), PATIENCE_SECONDS)
        if not client.ended_at:
            raise WrongAnswer(f"{way.title} was not cut within {PATIENCE_SECONDS:.0f} s")
        return client.ended_at - acknowledged_at, client.octets - octets
