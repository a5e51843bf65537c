"""The whole gateway with submission and IMAP on two workers: one bound for wrong passwords, cuts, reload, upgrade, end.

What is said of both workers is seen on both: sessions are opened until each of them has some.
"""

import asyncio
import json
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway.proxies.attempts import FAILURES_PER_MINUTE
from tests.network.authority import Authority, Issued
from tests.support.imap_server import ImapServer, imap_server
from tests.support.mail_fronted import Peer
from tests.support.reporting import Agent
from tests.support.running import Running, running
from tests.support.submission_server import SubmissionServer, submission_server
from tests.support.submitted import SmtpClient
from tests.system.arranging import agent_of, enforce_tiktok
from tests.system.processes import children_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_SECONDS = 60.0
SESSIONS_MOST = 40
"""The kernel chooses the worker by the client's port: that so many come to one is no accident any more."""
DRAINED = b"421 4.3.2 The mail gateway restarts: come back at once\r\n"
BYE = b"* BYE The mail gateway restarts. Mail comes back at once.\r\n"
Sessions = list[tuple[SmtpClient, Peer]]


@dataclass(frozen=True, slots=True)
class Office:
    """A gateway of two workers before two mail servers."""

    gateway: Running
    submission: SubmissionServer
    imap: ImapServer
    agent: Agent
    authority: Authority
    shown: Issued
    """What the listeners show, as files."""
    opened: list[SmtpClient | Peer] = field(default_factory=list)
    """The connections of the present test."""

    def _port(self, part: str) -> int:
        return urlsplit(self.gateway.listening[part][0]).port or 0

    async def smtp_client(self, trust: ssl.SSLContext | None = None, source: str = "") -> SmtpClient:
        """A mail program that has said nothing."""
        client = await SmtpClient.connected(self._port("smtp"), trust or self.authority.trust(), source)
        self.opened.append(client)
        return client

    async def imap_client(self, source: str = "127.0.0.1") -> Peer:
        """A mail program that has been greeted."""
        opened = await asyncio.open_connection(
            *("127.0.0.1", self._port("imap")),
            ssl=self.authority.trust(),
            server_hostname="127.0.0.1",
            local_addr=(source, 0),
        )
        peer = Peer(*opened)
        self.opened.append(peer)
        assert (await peer.line()).startswith(b"* OK [CAPABILITY IMAP4rev1 ")
        return peer

    async def submitting(self, user: str) -> SmtpClient:
        """A session that may submit."""
        client = await self.smtp_client()
        assert (await client.logged_in(f"{user}@corp.example")).startswith(b"235 ")
        return client

    async def idling(self, user: str) -> Peer:
        """A session that waits for mail."""
        client = await self.imap_client()
        assert (await client.ask(b'a LOGIN "%b" "secret"\r\n' % user.encode())).startswith(b"a OK")
        assert await client.ask(b"b IDLE\r\n") == b"+ idling\r\n"
        return client

    async def on_both_workers(self, user: str) -> Sessions:
        """Sessions by both protocols, of which each worker has some."""
        opened: Sessions = []
        while len(opened) < SESSIONS_MOST:
            opened += [(await self.submitting(user), await self.idling(user)) for _ in range(4)]
            async with asyncio.timeout(WITHIN_SECONDS):
                while sum(map(sum, counts := await self.sessions())) < 2 * len(opened):  # noqa: ASYNC110
                    # Workers tell once a second.
                    await asyncio.sleep(0.1)
            if all(map(all, counts)):
                return opened
        raise AssertionError(f"one worker has all sessions: {counts}")

    async def sessions(self) -> list[tuple[int, int]]:
        """How many sessions of submission and IMAP there are on each worker."""
        async with self.gateway.api() as api:
            workers = (await api.get("/status")).json()["gateway"]["workers"]
        assert len(workers) == 2
        return [(each["front"]["smtp"]["sessions"], each["front"]["imap"]["sessions"]) for each in workers]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """Ready, with a ban that is enforced."""
    directory: Path = tmp_path_factory.mktemp("workers")
    authority = Authority(directory)
    shown = authority.issue()
    async with submission_server() as submission, imap_server() as imap:
        more = (
            f'[tls]\ncertificate = "{shown.certificate}"\nkey = "{shown.key}"\n'
            f'[identity]\ndefault_domain = "corp.example"\n'
            f'[imap]\nlisten = "imaps://127.0.0.1:0"\nupstream = "{imap.url}"\nsessions_per_user = 100\n'
            f'[smtp]\nlisten = "smtps://127.0.0.1:0"\nupstream = "{submission.url}"\nsessions_per_user = 100\n'
            "failed_logins = 20\n"
        )
        async with (
            running(directory, "http://127.0.0.1:9", workers=2, more=more) as gateway,
            agent_of(gateway) as agent,
        ):
            await enforce_tiktok(gateway)
            yield Office(gateway, submission, imap, agent, authority, shown)


@pytest_asyncio.fixture(loop_scope="module")
async def office(started: Office) -> AsyncIterator[Office]:
    """The same; nothing stays open behind a test."""
    yield started
    while started.opened:
        started.opened.pop().close()
    await asyncio.sleep(0)


async def test_one_bound_for_wrong_passwords_of_all_workers_and_protocols(office: Office) -> None:
    """By many connections from many addresses, by turns: the mail servers see no more of them than of one."""
    before = office.submission.verbs().count("AUTH")
    said: list[bytes] = []
    for number in range(1, 9):
        source = f"127.0.0.{10 + number}"
        client = await office.smtp_client(source=source)
        said.append(await client.logged_in("guessed@corp.example", f"guess{number}"))
        peer = await office.imap_client(source)
        said.append(await peer.ask(b'a LOGIN "guessed" "guess%d"\r\n' % number))
    tried = [user for user, _ in office.imap.tried if user.startswith("guessed")]
    asked = office.submission.verbs().count("AUTH") - before + len(tried)
    assert 1 <= asked <= FAILURES_PER_MINUTE
    wrong = [each for each in said if each.startswith((b"535 ", b"a NO [AUTHENTICATIONFAILED]"))]
    put_off = [each for each in said if each.startswith((b"454 4.7.0 ", b"a NO [UNAVAILABLE]"))]
    assert (len(wrong), len(put_off)) == (asked, 16 - asked)
    # Of everybody else nothing is held back.
    await office.submitting("anna")
    await office.idling("anna")


async def test_a_report_cuts_every_session_on_every_worker(office: Office) -> None:
    await office.agent.clean("carl@corp.example", "phone-of-carl")
    await office.agent.clean("bert@corp.example", "phone-of-bert")
    sessions = await office.on_both_workers("carl")
    spared, waiting = await office.submitting("bert"), await office.idling("bert")
    await office.agent.dirty("carl@corp.example", "phone-of-carl")
    for client, peer in sessions:
        assert (await client.reply()).startswith(b"421 4.7.0 Mail on this device is blocked")
        assert await client.closed()
        assert (await peer.rest()).startswith(b"* BYE [ALERT] Mail on this device is blocked")
    assert (await spared.at_data(b"<bert@corp.example>")).startswith(b"354 ")
    assert (await spared.ask(b"Subject: x\r\n\r\nx\r\n.")).startswith(b"250 ")
    assert (await waiting.ask(b"DONE\r\nc NOOP\r\n")).endswith(b" OK done\r\n")


async def test_both_workers_show_a_new_certificate_after_a_reload(office: Office) -> None:
    sessions = await office.on_both_workers("dora")
    another = Authority(office.authority.directory, name="two")
    office.shown.replace(another.issue())
    office.gateway.process.send_signal(signal.SIGHUP)

    async def shown_by_all() -> bool:
        return all([await _knows(office, another) for _ in range(SESSIONS_MOST)])

    async with asyncio.timeout(WITHIN_SECONDS):
        while not await shown_by_all():  # noqa: ASYNC110  (only a handshake tells)
            await asyncio.sleep(0.05)
    # Sessions that stand have not noticed.
    for client, peer in sessions:
        assert (await client.ask(b"NOOP")).startswith(b"250 ")
        assert (await peer.ask(b"DONE\r\nc NOOP\r\n")).endswith(b" OK done\r\n")
    office.shown.replace(office.authority.issue())
    office.gateway.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(WITHIN_SECONDS):
        while not all([await _knows(office, office.authority) for _ in range(SESSIONS_MOST)]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _knows(office: Office, authority: Authority) -> bool:
    try:
        (await office.smtp_client(authority.trust())).close()
    except ssl.SSLError:
        return False
    return True


async def _taken_leave_of(office: Office, user: str, end: Callable[[], Awaitable[None]]) -> None:
    """End the workers while sessions wait and a message is under way: each hears of it in its protocol's words."""
    sessions = await office.on_both_workers(user)
    sender = f"<{user}@corp.example>".encode()
    writing, before = await office.submitting(user), len(office.submission.messages)
    assert (await writing.at_data(sender)).startswith(b"354 ")
    writing.write(b"Subject: under way\r\n\r\n")
    await end()
    for client, peer in sessions:
        assert await client.reply() == DRAINED
        assert await client.closed()
        assert await peer.rest() == BYE
    assert (await writing.ask(b"to its end\r\n.")).startswith(b"250 ")
    assert await writing.reply() == DRAINED
    assert office.submission.messages[before].octets.endswith(b"to its end\r\n.\r\n")


async def _until_logged(office: Office, event: str, count: int) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while len([entry for entry in office.gateway.log if entry["event"] == event]) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_an_upgrade_lets_messages_end_and_takes_leave_of_sessions(office: Office) -> None:
    before = children_of(office.gateway.process.pid)["worker"]

    async def upgrade() -> None:
        office.gateway.process.send_signal(signal.SIGUSR2)
        # The old workers are told when the new ones and the new control process serve.
        await _until_logged(office, "child_ready", 3)

    await _taken_leave_of(office, "eva", upgrade)
    await _until_logged(office, "upgraded", 1)
    after = children_of(office.gateway.process.pid)["worker"]
    assert len(after) == 2
    assert not set(before) & set(after)
    # On the same sockets, and the same verdicts hold.
    await office.submitting("eva")
    client = await office.submitting("carl")
    assert (await client.ask(b"MAIL FROM:<carl@corp.example>")).startswith(b"550 5.7.1 ")


async def test_the_end_lets_messages_end_and_takes_leave_of_sessions(office: Office) -> None:
    async def end() -> None:
        office.gateway.process.send_signal(signal.SIGTERM)

    await _taken_leave_of(office, "fred", end)
    async with asyncio.timeout(WITHIN_SECONDS):
        assert await office.gateway.process.wait() == 0
    left = [entry for entry in office.gateway.log if entry["event"] in ("child_killed", "worker_task_failed")]
    assert left == [], json.dumps(left)
