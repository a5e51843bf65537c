"""NTLM and Kerberos through a gateway before an Apache whose logins are its connections': requests_ntlm and curl."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
import requests
from requests_ntlm import HttpNtlmAuth

from gateway.domain.identity import identity_rules
from gateway.protocols.webmail.paths import Rule
from gateway.proxies.webmail.exposure import VERDICT, WebmailSettings
from tests.live.bound.apache import PASSWORD, PLACE, Apache, missing, running_apache
from tests.support.fronted import Fronted, fronted
from tests.support.reporting import TIKTOK
from tests.support.running import running
from tests.system.arranging import agent_of, enforce_tiktok

pytestmark = pytest.mark.asyncio(loop_scope="session")

RULES = identity_rules("corp.example", {"CORP": "corp.example"})
LOOPBACK = "127.0.0.0/8"
USERS = ("anna", "bert", "cora", "dora")
"""Bert's phone is not clean."""


@pytest.fixture(scope="session")
def apache() -> Iterator[Apache]:
    """The mail server."""
    if reason := missing():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="gatepost-bound-") as directory:
        Path(directory).chmod(0o755)
        with running_apache(Path(directory), *USERS) as server:
            yield server


@asynccontextmanager
async def opened(apache: Apache, opening: str) -> AsyncIterator[Fronted]:
    webmail = WebmailSettings(openings={Rule.EWS: (opening,)}, connection_bound=frozenset((Rule.EWS,)))
    # By its number: names are looked up by the threads that the programs below keep busy.
    upstream = apache.url.replace("localhost", "127.0.0.1")
    async with fronted(upstream, rules=RULES, webmail=webmail) as gateway:
        for user in USERS:
            gateway.clean(f"{user}@corp.example", f"{user}phone")
        gateway.dirty("bert@corp.example", "bertphone")
        for user in USERS:
            await gateway.known(f"{user}@corp.example")
        yield gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def judging(apache: Apache) -> AsyncIterator[Fronted]:
    """A gateway before it, under the verdict."""
    async with opened(apache, VERDICT) as gateway:
        yield gateway


def address(gateway: Fronted) -> str:
    """By the name for which there are tickets."""
    return gateway.url.replace("127.0.0.1", "localhost")


@dataclass(slots=True)
class Program:
    """One that logs in by NTLM, and keeps its connection."""

    url: str
    user: str
    password: str = PASSWORD
    session: requests.Session = field(default_factory=requests.Session)

    async def post(self, body: bytes = b"<soap/>") -> tuple[int, str]:
        """Status and text of one request."""
        return await asyncio.to_thread(self._post, body)

    def _post(self, body: bytes) -> tuple[int, str]:
        self.session.auth = HttpNtlmAuth(self.user, self.password)
        answer = self.session.post(f"{self.url}{PLACE}", data=body, timeout=20)
        return answer.status_code, answer.text


async def test_ntlm_by_requests(judging: Fronted, apache: Apache) -> None:
    """The same as without a gateway; several requests by one connection of the mail server's."""
    direct = await Program(apache.url, "CORP\\anna").post()
    program = Program(judging.url, "CORP\\anna")
    answers = [await program.post(b"x" * size) for size in (1, 100, 300_000)]
    assert {(status, text.rpartition(" on ")[0]) for status, text in (direct, *answers)} == {
        (200, "mail of CORP\\anna")
    }
    assert len({text for _, text in answers}) == 1


async def test_a_wrong_password(judging: Fronted) -> None:
    assert (await Program(judging.url, "CORP\\anna", "wrong").post())[0] == 401


async def test_refused_and_not_done(judging: Fronted, apache: Apache) -> None:
    status, text = await Program(judging.url, "CORP\\bert").post()
    assert (status, "com.zhiliaoapp.musically" in text, "mail of" in text) == (403, True, False)
    status, text = await Program(judging.url, "corp.example\\BERT").post()
    assert (status in (401, 403), "mail of" in text) == (True, False)
    assert (await Program(judging.url, "CORP\\bert", "wrong").post())[0] == 401
    assert apache.done_for("bert") == 0


async def test_refused_between_two_requests_and_let_in_again(judging: Fronted) -> None:
    program = Program(judging.url, "CORP\\cora")
    assert (await program.post())[0] == 200
    judging.dirty("cora@corp.example", "coraphone")
    await judging.known("cora@corp.example")
    status, text = await program.post()
    assert (status, "com.zhiliaoapp.musically" in text) == (403, True)
    judging.clean("cora@corp.example", "coraphone")
    await judging.known("cora@corp.example")
    assert (await program.post())[0] == 200


async def test_many_at_once_are_never_taken_for_one_another(judging: Fronted) -> None:
    """Each is served its own mail, always by its own connection; who has no login gets none."""

    async def visit(user: str) -> set[str]:
        program = Program(judging.url, f"CORP\\{user}")
        answers = [await program.post() for _ in range(5)]
        assert {text.split(" on ")[0] for _, text in answers} == {f"mail of CORP\\{user}"}
        return {text.rpartition(" ")[2] for _, text in answers}

    async def stranger() -> set[str]:
        for _ in range(10):
            answer = await asyncio.to_thread(requests.post, f"{judging.url}{PLACE}", data=b"x", timeout=20)
            assert (answer.status_code, "mail of" in answer.text) == (401, False)
        return set()

    people = [visit(user) for user in ("anna", "cora", "dora") * 3]
    used = await asyncio.gather(*people, stranger(), stranger())
    ports = [port for each in used for port in each]
    assert len(ports) == len(set(ports)) == 9


async def test_ntlm_within_negotiate_by_curl(judging: Fronted, apache: Apache) -> None:
    said = await asyncio.to_thread(apache.curl, address(judging), "--negotiate", "-u", ":", ntlm="anna")
    assert said.count("mail of CORP\\anna") == 2, said
    said = await asyncio.to_thread(apache.curl, address(judging), "--negotiate", "-u", ":", ntlm="bert")
    assert ("musically" in said, "mail of" in said) == (True, False), said
    assert apache.done_for("bert") == 0


async def test_a_ticket_under_the_verdict_names_nobody(judging: Fronted, apache: Apache) -> None:
    said = await asyncio.to_thread(apache.curl, address(judging), "--negotiate", "-u", ":", ticket="anna")
    assert ("mail of" in said, said.count(" 401;")) == (False, 2), said
    assert "mail of anna@CORP.EXAMPLE" in await asyncio.to_thread(
        apache.curl, apache.url, "--negotiate", "-u", ":", ticket="anna"
    )


async def test_a_ticket_from_a_network(apache: Apache) -> None:
    async with opened(apache, LOOPBACK) as gateway:
        said = await asyncio.to_thread(apache.curl, address(gateway), "--negotiate", "-u", ":", ticket="anna")
        assert said.count("mail of anna@CORP.EXAMPLE") == 2, said
        ports = {each.split(" ")[0] for each in said.split(" on ")[1:]}
        assert len(ports) == 1
        other = await asyncio.to_thread(apache.curl, address(gateway), "--negotiate", "-u", ":", ticket="bert")
        assert other.count("mail of bert@CORP.EXAMPLE") == 2, other


async def test_a_whole_gateway_before_tls(apache: Apache, tmp_path: Path) -> None:
    """Set up by its settings, of two workers, and with TLS to the mail server."""
    more = """
[webmail]
ews = "verdict"
connection_bound = "ews"
[identity]
default_domain = "corp.example"
domains = { CORP = "corp.example" }
"""
    environment = {"GATEPOST_HTTP__UPSTREAM_CA": str(apache.certificates.authority)}
    upstream = apache.tls
    async with running(tmp_path, upstream, workers=2, more=more, environment=environment) as gateway:
        await enforce_tiktok(gateway)
        async with agent_of(gateway) as agent:
            await agent.clean("dora@corp.example", "doraphone")
            program = Program(gateway.http, "CORP\\dora")
            answers = [await program.post(b"x" * size) for size in (1, 200_000, 1)]
            assert {status for status, _ in answers} == {200}, answers
            assert len({text for _, text in answers}) == 1
            before = apache.done_for("dora")
            await agent.dirty("dora@corp.example", "doraphone")
            async with asyncio.timeout(10):
                while (await program.post())[0] == 200:
                    before += 1
            status, text = await program.post()
            assert (status, TIKTOK in text) == (403, True)
            assert apache.done_for("dora") == before
    log = "\n".join(map(str, gateway.log))
    assert "NTLM" not in log
    assert "TlRM" not in log
