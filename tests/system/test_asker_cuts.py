"""The whole gateway cuts at askers: a report runs the operator's program and turns HAProxy's map, with two workers."""

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.support import spop_frames
from tests.support.asking import KEY, question, read_frame, variables_of
from tests.support.fake_haproxy import FakeHaproxy, fake_haproxy
from tests.support.raw_http import Client, eas
from tests.support.reporting import Agent
from tests.support.running import Running, running
from tests.support.spine import added_agent, ban_tiktok
from tests.support.upstream import mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_SECONDS = 30.0
MAP = "/etc/haproxy/gatepost.map"
REMEMBER = "import sys, pathlib; pathlib.Path(sys.argv[1]).open('a').write(sys.argv[2] + '\\n')"


@dataclass(frozen=True, slots=True)
class Cutting:
    """A gateway with means to cut."""

    gateway: Running
    agent: Agent
    haproxy: FakeHaproxy
    cut: Path
    """Where the program writes whom it was told to cut."""

    async def dovecot(self, user: str) -> int:
        """The status that Dovecot gets."""
        body = json.dumps({"user": user, "login": user, "remote": "192.0.2.7", "protocol": "imap"}).encode()
        client = await Client.connected(self.gateway.listening["authz"][0])
        try:
            answer = await client.ask(question("dovecot?command=allow", method="POST", body=body), "POST")
        finally:
            client.close()
        return int(json.loads(answer.body)["status"])

    async def asked(self, user: str) -> str:
        """What HAProxy is told on a connection of its own, which any worker that listens may have."""
        address = urlsplit(self.gateway.listening["haproxy"][0])
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        uri = eas("Sync", user, f"{user.upper()}PHONE")
        more = {"mapkey": spop_frames.string(key_of(user).encode())}
        writer.write(spop_frames.HELLO + spop_frames.asked(uri, user, KEY, **more))
        try:
            await read_frame(reader)
            return variables_of(await read_frame(reader))["verdict"]
        finally:
            writer.close()

    async def until(self, so: Callable[[], bool]) -> None:
        """Wait for another process."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not so():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def cuts(self) -> list[str]:
        """Whom the program was told to cut."""
        return self.cut.read_text().splitlines() if self.cut.exists() else []


def key_of(user: str) -> str:
    return hashlib.sha256(user.encode()).hexdigest().upper()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cutting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cutting]:
    """Two workers; Anna's phone is clean, Bert's is not."""
    directory = tmp_path_factory.mktemp("cuts")
    (directory / "key").write_text(KEY)
    words = json.dumps([sys.executable, "-c", REMEMBER, str(directory / "cut"), "{user}"])
    async with fake_haproxy(directory, MAP, f"{MAP}.alive") as haproxy, mailbox_server() as mailbox:
        more = f"""
[authz]
listen = ["http://127.0.0.1:0"]
key_files = ["{directory}/key"]
answer_seconds = 2.0
[[authz.cuts]]
askers = ["dovecot"]
command = {words}
[haproxy]
listen = ["tcp://127.0.0.1:0"]
runtime = ["{haproxy.url}"]
map = "{MAP}"
[identity]
default_domain = "corp.example"
"""
        async with running(directory, mailbox.url, workers=2, more=more) as gateway, added_agent(gateway) as agent:
            await ban_tiktok(gateway, "enforce")
            await agent.clean("anna@corp.example", "annaphone")
            await agent.dirty("bert@corp.example", "bertphone")
            yield Cutting(gateway, agent, haproxy, directory / "cut")


async def test_a_report_has_the_program_run(cutting: Cutting) -> None:
    """By each worker that has let the user in, so once or twice."""
    assert await cutting.dovecot("Anna@corp.example") == 0
    assert await cutting.dovecot("bert@corp.example") < 0
    await cutting.agent.dirty("anna@corp.example", "annaphone")
    await cutting.until(lambda: bool(cutting.cuts()))
    assert set(cutting.cuts()) == {"Anna@corp.example"}
    await cutting.until(lambda: any(line["event"] == "cut" for line in cutting.gateway.log))
    await cutting.agent.clean("anna@corp.example", "annaphone")


async def test_one_worker_keeps_the_map_for_all(cutting: Cutting) -> None:
    """Whatever connection a question comes by, it is learned; a report turns it in milliseconds, nobody asks."""
    for user, told in (("anna", "allow"), ("bert", "refuse")):
        for _ in range(6):
            assert await cutting.asked(user) == told
    await cutting.until(lambda: cutting.haproxy.holds(MAP) == {key_of("anna"): "allow", key_of("bert"): "deny"})
    await cutting.agent.dirty("anna@corp.example", "annaphone")
    await cutting.until(lambda: cutting.haproxy.holds(MAP)[key_of("anna")] == "deny")
    await cutting.gateway.gatepost("flag", "set", "TikTok", "report-only", "--yes")
    await cutting.until(lambda: set(cutting.haproxy.holds(MAP).values()) == {"allow"})
    await cutting.gateway.gatepost("flag", "set", "TikTok", "enforce", "--yes")
    await cutting.until(lambda: set(cutting.haproxy.holds(MAP).values()) == {"deny"})
    await cutting.agent.clean("anna@corp.example", "annaphone")


async def test_the_operator_asks_as_an_asker(cutting: Cutting) -> None:
    for asker in ("dovecot", "haproxy"):
        words = ("check", "--asker", asker, "--user", "bert@corp.example", "--device", "BERTPHONE", "--json")
        told = json.loads(await cutting.gateway.gatepost(*words, expect=0))
        assert told["verdict"] == "deny"


async def test_the_settings_are_checked_with_the_rest(cutting: Cutting) -> None:
    rows = json.loads(await cutting.gateway.gatepost("check", "--json", expect=0))["checks"]
    found = {row["what"]: row["state"] for row in rows if row["what"].startswith("cut ")}
    assert found == {"cut dovecot": "ok", "cut haproxy": "ok"}
