"""Processes that are killed under traffic, certificates that change, and an end that loses nobody's request."""

import asyncio
import signal
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.support.phone_certificates import make_certificates
from tests.support.raw_http import Client, ask, basic, eas, request
from tests.support.reporting import Agent
from tests.support.running import Running, running
from tests.support.scripted_origin import Origin, OriginConnection, scripted_origin
from tests.support.spine import FOLDER_SYNC, PING, PING_CUT
from tests.support.upstream import MailboxServer, mailbox_server
from tests.system.arranging import agent_of, enforce_tiktok
from tests.system.processes import children_of, kill, until_gone

pytestmark = pytest.mark.asyncio(loop_scope="module")

PING_EXPIRED = bytes.fromhex("03016a00000d45470331000101")
"""Status 1: nothing has changed ([MS-ASCMD] 2.2.3.177.11)."""
WITHIN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Office:
    """A gateway of two workers, the mailbox server behind it and what reports to it."""

    gateway: Running
    mailbox: MailboxServer
    agent: Agent

    def pids(self, kind: str) -> list[int]:
        """The children of a kind that live."""
        return children_of(self.gateway.process.pid).get(kind, [])

    async def until_pids(self, kind: str, count: int, without: int) -> None:
        """Wait until so many live, one that died not among them."""
        async with asyncio.timeout(WITHIN_SECONDS):
            while len(pids := self.pids(kind)) < count or without in pids:  # noqa: ASYNC110  (other processes)
                await asyncio.sleep(0.01)

    async def until_logged(self, event: str, count: int = 1) -> None:
        """Wait for so many log lines of a kind."""
        async with asyncio.timeout(WITHIN_SECONDS):
            while sum(entry["event"] == event for entry in self.gateway.log) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def asked(self, user: str) -> bytes:
        """What a phone gets when it asks for its folders, on a connection of its own."""
        return (await ask(self.gateway.http, folders(user))).body

    async def until_refused(self, user: str, within_seconds: float = 2.0) -> None:
        """Wait until a phone gets no mail."""
        async with asyncio.timeout(within_seconds):
            while await self.asked(user) == mail_for(user):  # noqa: ASYNC110  (what another process knows)
                await asyncio.sleep(0.01)


def folders(user: str) -> bytes:
    return request(eas("FolderSync", user, f"ID{user.upper()}"), FOLDER_SYNC, user=user)


def mail_for(user: str) -> bytes:
    return f"mail for {user}".encode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with (
        mailbox_server() as mailbox,
        running(tmp_path_factory.mktemp("restarts"), mailbox.url, workers=2) as gateway,
        agent_of(gateway) as agent,
    ):
        await enforce_tiktok(gateway)
        await agent.clean("anna", "IDANNA")
        await agent.dirty("berta", "IDBERTA")
        yield Office(gateway, mailbox, agent)


async def test_what_waits_in_the_queue_of_a_dead_worker_is_answered(office: Office) -> None:
    first, *_ = office.pids("worker")
    # Stopped, it accepts nothing: about half of the connections wait in its socket.
    kill(first, signal.SIGSTOP)
    asking = [asyncio.create_task(office.asked("anna")) for _ in range(40)]
    _, waiting = await asyncio.wait(asking, timeout=1.5)
    assert waiting
    killed_at = time.monotonic()
    kill(first)
    answers = await asyncio.wait_for(asyncio.gather(*asking), WITHIN_SECONDS)
    assert set(answers) == {mail_for("anna")}
    assert time.monotonic() - killed_at < WITHIN_SECONDS
    await office.until_pids("worker", 2, first)


async def test_a_worker_is_killed_under_traffic(office: Office) -> None:
    """Only what was in its hands fails; nobody is turned away, and nobody who is refused gets in."""
    enough = asyncio.Event()
    seen: Counter[str] = Counter()

    async def keeps_asking(user: str) -> None:
        while not enough.is_set():
            try:
                body = await office.asked(user)
            except ConnectionRefusedError:
                seen["turned away"] += 1
            except OSError:
                seen["broken off"] += 1
            else:
                if not body:
                    seen["broken off"] += 1
                else:
                    seen[f"{user} {'served' if body == mail_for(user) else 'refused'}"] += 1

    traffic = [asyncio.create_task(keeps_asking(user)) for user in ("anna", "anna", "anna", "anna", "anna", "berta")]
    first, *_ = office.pids("worker")
    await _until(lambda: seen["anna served"] > 100)
    kill(first)
    served = seen["anna served"]
    # The other one goes on at once, and the dead one has a successor.
    await office.until_pids("worker", 2, first)
    await _until(lambda: seen["anna served"] > served + 200)
    enough.set()
    await asyncio.gather(*traffic)
    assert seen["turned away"] == seen["berta served"] == seen["anna refused"] == 0
    assert seen["broken off"] <= len(traffic)


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not reached():  # noqa: ASYNC110  (counted by other tasks)
            await asyncio.sleep(0.01)


async def test_an_acknowledged_report_is_never_lost(office: Office) -> None:
    """The control process is killed the moment it has acknowledged: what it acknowledged holds."""
    for user in ("carla", "dora", "emil"):
        await office.agent.clean(user, f"ID{user.upper()}")
        (control,) = office.pids("control")
        await office.agent.dirty(user, f"ID{user.upper()}")
        kill(control)
        await until_gone(control)
        # Phones are judged all the while, and reports wait for the next control process.
        assert await office.asked("anna") == mail_for("anna")
        assert await office.asked("berta") != mail_for("berta")
        await office.until_refused(user, WITHIN_SECONDS)
        await office.until_pids("control", 1, control)
        await office.agent.client.aclose()
        office.agent.client = httpx.AsyncClient(timeout=30)
    await office.agent.clean("carla", "IDCARLA")
    async with asyncio.timeout(WITHIN_SECONDS):
        while await office.asked("carla") != mail_for("carla"):  # noqa: ASYNC110  (what another process knows)
            await asyncio.sleep(0.02)
    assert await office.asked("dora") != mail_for("dora")


async def test_the_embedded_cache_is_killed(office: Office) -> None:
    """It begins again with nothing in it; a report at that moment cuts within two seconds."""
    await office.agent.clean("fred", "IDFRED")
    phone = await Client.connected(office.gateway.http)
    phone.write(request(eas("Ping", "fred", "IDFRED"), PING, user="fred"))
    await office.mailbox.until_parked(1)
    (cache,) = office.pids("cache")
    kill(cache)
    await office.agent.dirty("fred", "IDFRED")
    reported_at = time.monotonic()
    assert (await phone.answer()).body == PING_CUT
    assert time.monotonic() - reported_at < 2.0
    phone.close()
    await office.until_pids("cache", 1, cache)
    for _ in range(8):
        for user in ("fred", "berta"):
            assert await office.asked(user) != mail_for(user)
    await office.until_logged("cache_server_restarted")


async def test_the_workers_together_cause_few_failed_logins(office: Office) -> None:
    """Five in a minute for one user, however many workers there are and whichever of them is asked."""
    answers: Counter[int] = Counter()
    for number in range(60):
        target = eas("FolderSync", "berta", "IDBERTA")
        answer = await ask(
            office.gateway.http, request(target, FOLDER_SYNC, Authorization=basic("berta", f"guess {number}"))
        )
        answers[answer.status] += 1
    failed = sum(1 for each in office.mailbox.received if each.user == "berta" and not each.accepted)
    assert failed == answers[401] <= 5
    assert answers[401] + answers[503] == 60


# --- an end in order: a gateway of its own


async def test_a_new_certificate_and_then_the_end(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    tables = f'[tls]\ncertificate = "{made.certificate}"\nkey = "{made.key}"\n'
    listen = {"GATEPOST_HTTP__LISTEN": "https://127.0.0.1:0"}
    async with (
        scripted_origin() as origin,
        running(tmp_path, origin.url, more=tables, environment=listen) as gateway,
    ):
        mail = Held(origin)
        serving = asyncio.create_task(mail.serve())
        old_trust = made.trust()
        before = await connected(gateway.http, old_trust)
        renewed = make_certificates(tmp_path)
        gateway.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(WITHIN_SECONDS):
            while not any(entry["event"] == "certificate_reloaded" for entry in gateway.log):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        # Who comes now is shown the new one; who is here already goes on.
        with pytest.raises(ssl.SSLCertVerificationError):
            await connected(gateway.http, old_trust)
        waiting = await connected(gateway.http, renewed.trust())
        waiting.write(request(eas("Ping", "anna", "IDANNA"), PING, user="anna"))
        parked = await mail.command()
        before.write(request(eas("FolderSync", "berta", "IDBERTA"), FOLDER_SYNC, user="berta"))
        under_way = await mail.command()

        gateway.process.send_signal(signal.SIGTERM)
        # A phone that merely waits is sent back; what the mail server is working on is finished.
        assert (await waiting.answer()).body == PING_EXPIRED
        await parked.until_ended()
        with pytest.raises(OSError):  # noqa: PT011  (refused, or reset: nobody listens any more)
            await connected(gateway.http, renewed.trust())
        assert gateway.process.returncode is None
        await under_way.answer(b"folders")
        assert (await before.answer()).body == b"folders"
        assert await asyncio.wait_for(gateway.process.wait(), WITHIN_SECONDS) == 0
        waiting.close()
        before.close()
        serving.cancel()
    assert not any(entry["event"] in ("child_killed", "worker_task_failed") for entry in gateway.log)
    assert not gateway.data_dir.joinpath("listening.json").exists()


async def connected(url: str, trust: ssl.SSLContext) -> Client:
    """A connection over TLS."""
    address = urlsplit(url)
    return Client(*await asyncio.open_connection(address.hostname, address.port, ssl=trust))


class Held:
    """A mail server that answers its gateway's own questions, and commands when a test says so."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._commands: asyncio.Queue[OriginConnection] = asyncio.Queue()

    async def serve(self) -> None:
        """Take connections until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._read(await self._origin.connection(patience_seconds=120)))

    async def _read(self, connection: OriginConnection) -> None:
        with suppress(EOFError, ConnectionResetError, TimeoutError):
            while not (await connection.request()).line.startswith(b"POST"):
                await connection.answer(b"", "401 Unauthorized", 'WWW-Authenticate: Basic realm="mail"')
            self._commands.put_nowait(connection)

    async def command(self) -> OriginConnection:
        """The connection of the next command."""
        return await asyncio.wait_for(self._commands.get(), WITHIN_SECONDS)
