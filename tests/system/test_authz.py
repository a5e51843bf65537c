"""Askers of the whole gateway: over TCP with a key, over TLS with a certificate, by unix sockets."""

import asyncio
import json
import signal
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
import pytest_asyncio

from gateway.domain.verdict import Effect
from tests.network.authority import Authority
from tests.support import spop_frames
from tests.support.asking import KEY, original, policy_request, question, read_action, read_frame, variables_of
from tests.support.envoy_asks import Envoy, effect_of, envoy, phone
from tests.support.raw_http import Client, HttpAnswer, eas
from tests.support.reporting import Agent
from tests.support.running import Running, running
from tests.support.upstream import mailbox_server
from tests.system.arranging import agent_of, enforce_tiktok

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_SECONDS = 20.0
ANNA, BERT = (
    question("nginx", *original(eas("Sync", name, f"{name.upper()}PHONE")), user=name) for name in ("anna", "bert")
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A gateway with askers' listeners of every kind."""

    gateway: Running
    agent: Agent
    authority: Authority
    key_file: Path
    sockets: Path

    async def by_tcp(self, octets: bytes) -> HttpAnswer:
        """One question with whatever key it has."""
        url = next(url for url in self.gateway.listening["authz"] if url.startswith("http:"))
        return await _asked(await Client.connected(url), octets)

    async def by_unix(self, octets: bytes) -> HttpAnswer:
        """One question at the unix socket."""
        return await _asked(Client(*await asyncio.open_unix_connection(self.sockets / "authz.sock")), octets)

    async def by_tls(self, octets: bytes, certificate: bool) -> HttpAnswer:
        """One question within TLS."""
        url = next(url for url in self.gateway.listening["authz"] if url.startswith("https:"))
        context = self.authority.trust()
        if certificate:
            shown = self.authority.issue("nginx", client=True)
            context.load_cert_chain(shown.certificate, shown.key)
        return await _asked(await Client.connected(url, tls=context), octets)

    async def action(self, user: str, *, unix: bool = False, key: str = KEY) -> str:
        """What Postfix is told."""
        if unix:
            reader, writer = await asyncio.open_unix_connection(self.sockets / "postfix.sock")
        else:
            url = next(url for url in self.gateway.listening["postfix"] if url.startswith("tcp:"))
            address = urlsplit(url)
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(policy_request(user, key=key))
        try:
            return await read_action(reader)
        finally:
            writer.close()

    async def until_told(self, octets: bytes, verdict: str) -> None:
        """Ask again and again: workers are told of a change one by one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self.by_tcp(octets)).header("X-Gatepost-Verdict") != verdict:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def variables(self, user: str, *, unix: bool = False, key: str = KEY) -> dict[str, str]:
        """What HAProxy is told."""
        if unix:
            reader, writer = await asyncio.open_unix_connection(self.sockets / "haproxy.sock")
        else:
            url = next(url for url in self.gateway.listening["haproxy"] if url.startswith("tcp:"))
            address = urlsplit(url)
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(spop_frames.HELLO + spop_frames.asked(eas("Sync", user, f"{user.upper()}PHONE"), user, key))
        try:
            await read_frame(reader)
            return variables_of(await read_frame(reader))
        finally:
            writer.close()

    def envoy(self, scheme: str, *, certificate: bool = False) -> AbstractAsyncContextManager[Envoy]:
        """An Envoy: with the key over TCP, with a certificate within TLS, with neither at the unix socket."""
        if scheme == "unix":
            return envoy(f"unix:{self.sockets}/envoy.sock", key="")
        url = next(url for url in self.gateway.listening["envoy"] if url.startswith(f"{scheme}:"))
        target = f"localhost:{urlsplit(url).port}" if scheme == "grpcs" else urlsplit(url).netloc
        if scheme == "grpc":
            return envoy(target)
        shown = self.authority.issue("envoy", client=True)
        pair = (shown.key.read_bytes(), shown.certificate.read_bytes()) if certificate else (None, None)
        return envoy(target, "", grpc.ssl_channel_credentials(self.authority.certificate.read_bytes(), *pair))

    def told(self, event: str) -> list[dict[str, object]]:
        """The log lines of an event."""
        return [line for line in self.gateway.log if line.get("event") == event]


async def _asked(client: Client, octets: bytes) -> HttpAnswer:
    try:
        return await client.ask(octets, "GET")
    finally:
        client.close()


def tables(directory: Path, authority: Authority) -> str:
    """The settings of askers, and the certificate of the gateway."""
    issued = authority.issue("localhost", "127.0.0.1")
    return f"""
[tls]
certificate = "{issued.certificate}"
key = "{issued.key}"
[authz]
listen = ["http://127.0.0.1:0", "https://localhost:0", "unix://{directory}/authz.sock?mode=0600"]
key_files = ["{directory}/key"]
client_ca = "{authority.certificate}"
answer_seconds = 2.0
[haproxy]
listen = ["tcp://127.0.0.1:0", "unix://{directory}/haproxy.sock"]
[postfix]
listen = ["tcp://127.0.0.1:0", "unix://{directory}/postfix.sock"]
[envoy]
listen = ["grpc://127.0.0.1:0", "grpcs://localhost:0", "unix://{directory}/envoy.sock"]
[identity]
default_domain = "corp.example"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asked]:
    """Two workers; Anna's phone is clean, Bert's is not."""
    directory = tmp_path_factory.mktemp("authz")
    authority = Authority(directory)
    (directory / "key").write_text(KEY)
    async with (
        mailbox_server() as mailbox,
        running(directory, mailbox.url, workers=2, more=tables(directory, authority)) as gateway,
        agent_of(gateway) as agent,
    ):
        await enforce_tiktok(gateway)
        await agent.clean("anna@corp.example", "annaphone")
        await agent.dirty("bert@corp.example", "bertphone")
        yield Asked(gateway, agent, authority, directory / "key", directory)


async def test_by_a_key(asked: Asked) -> None:
    assert (await asked.by_tcp(ANNA)).status == 200
    denied = await asked.by_tcp(BERT)
    assert (denied.status, denied.header("X-Gatepost-Reason")) == (403, "banned_app")
    assert await asked.action("anna") == "action=DUNNO"
    assert (await asked.action("bert")).startswith("action=550 5.7.1 ")
    assert (await asked.variables("anna"))["verdict"] == "allow"
    assert (await asked.variables("bert"))["verdict"] == "refuse"


async def test_by_a_unix_socket_no_key_is_needed(asked: Asked) -> None:
    for octets, status in ((ANNA, 200), (BERT, 403)):
        without = octets.replace(f"X-Gatepost-Key: {KEY}\r\n".encode(), b"")
        assert without != octets
        # Both workers serve the one socket.
        for _ in range(8):
            assert (await asked.by_unix(without)).status == status
    assert await asked.action("anna", unix=True, key="") == "action=DUNNO"
    assert (await asked.action("bert", unix=True, key="")).startswith("action=550")
    assert (await asked.variables("bert", unix=True, key=""))["verdict"] == "refuse"
    assert stat.S_IMODE((asked.sockets / "authz.sock").stat().st_mode) == 0o600


async def test_by_a_certificate(asked: Asked) -> None:
    without_key = BERT.replace(f"X-Gatepost-Key: {KEY}\r\n".encode(), b"")
    denied = await asked.by_tls(without_key, certificate=True)
    assert (denied.status, denied.header("X-Gatepost-Reason")) == (403, "banned_app")
    # TLS 1.3 lets a client believe that it is connected until it reads.
    try:
        answer = await asked.by_tls(ANNA, certificate=False)
        assert (answer.status, answer.closed) == (0, True)
    except (ssl.SSLError, ConnectionError):
        pass


async def test_nothing_is_told_without_a_key(asked: Asked) -> None:
    answer = await asked.by_tcp(ANNA.replace(KEY.encode(), b"0" * 32))
    assert (answer.status, answer.header("X-Gatepost-Verdict")) == (403, "")
    assert (await asked.action("anna", key="")).startswith("action=451")
    assert await asked.variables("anna", key="") == {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(asked.told("asker_not_authentic")) < 3:  # noqa: ASYNC110  (another process writes it)
            await asyncio.sleep(0.01)
    assert KEY not in json.dumps(asked.gateway.log)


async def test_a_report_and_an_edit_hold_at_once(asked: Asked) -> None:
    assert (await asked.by_tcp(ANNA)).status == 200
    await asked.agent.dirty("anna@corp.example", "annaphone")
    await asked.until_told(ANNA, "deny")
    await asked.gateway.gatepost("flag", "set", "TikTok", "report-only", "--yes")
    assert (await asked.by_tcp(ANNA)).status == 200
    assert await asked.action("bert") == "action=DUNNO"
    await asked.gateway.gatepost("flag", "set", "TikTok", "enforce", "--yes")
    assert (await asked.by_tcp(ANNA)).status == 403
    await asked.agent.clean("anna@corp.example", "annaphone")


async def test_what_is_counted_and_checked(asked: Asked) -> None:
    async with asked.gateway.api() as api:
        text = (await api.get(f"{asked.gateway.admin}/metrics")).text
    assert 'gatepost_authz_answers_total{answer="deny",asker="nginx"}' in text
    rows = json.loads(await asked.gateway.gatepost("check", "--json", expect=0))["checks"]
    parts = ("listen authz", "listen haproxy", "listen postfix", "listen envoy")
    listeners = {row["what"]: row["state"] for row in rows if row["what"] in parts}
    assert listeners == dict.fromkeys(parts, "ok")
    # What was looked at is still served.
    assert (await asked.by_unix(ANNA)).status in (200, 403)


async def test_the_key_is_replaced_without_a_restart(asked: Asked) -> None:
    asked.key_file.write_text("the-next-key-of-our-askers")
    asked.gateway.process.send_signal(signal.SIGHUP)
    right = BERT.replace(KEY.encode(), b"the-next-key-of-our-askers")
    await asked.until_told(right, "deny")
    asked.key_file.write_text(KEY)
    asked.gateway.process.send_signal(signal.SIGHUP)
    await asked.until_told(BERT, "deny")


@pytest.mark.parametrize("scheme", ["grpc", "grpcs", "unix"])
async def test_envoy_over_grpc(asked: Asked, scheme: str) -> None:
    async with asked.envoy(scheme, certificate=True) as client:
        for user, effect in (("anna", Effect.ALLOW), ("bert", Effect.DENY)):
            question = phone(eas("Sync", user, f"{user.upper()}PHONE"), user)
            assert effect_of(await client.ask(question)) is effect


async def test_an_envoy_without_certificate(asked: Asked) -> None:
    async with asked.envoy("grpcs") as client:
        with pytest.raises(grpc.aio.AioRpcError):
            await client.ask(phone(eas("Sync", "anna", "ANNAPHONE"), "anna"), seconds=2.0)


async def test_an_upgrade_loses_no_question_of_an_envoy(asked: Asked) -> None:
    before = len(asked.told("upgraded"))
    question = phone(eas("Sync", "bert", "BERTPHONE"), "bert")
    answered = 0
    async with asked.envoy("grpc") as tcp, asked.envoy("unix") as unix:
        asked.gateway.process.send_signal(signal.SIGUSR2)
        async with asyncio.timeout(90):
            while len(asked.told("upgraded")) == before:
                for client in (tcp, unix):
                    assert effect_of(await client.ask(question)) is Effect.DENY
                    answered += 1
    assert answered > 10


async def test_an_upgrade_keeps_the_sockets(asked: Asked) -> None:
    """No question is lost, also at the unix sockets, which no two processes can listen on by themselves."""
    before = len(asked.told("upgraded"))
    asked.gateway.process.send_signal(signal.SIGUSR2)
    answers: list[HttpAnswer] = []
    async with asyncio.timeout(90):
        while len(asked.told("upgraded")) == before:
            answers.append(await asked.by_unix(BERT))
            answers.append(await asked.by_tcp(BERT))
    assert [each for each in answers if each.status != 403] == []
    assert len(answers) > 10
    assert (await asked.action("bert", unix=True, key="")).startswith("action=550")
