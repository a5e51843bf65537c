"""A Redis with TLS and the very user that docs/operating.md describes: all works, and nothing more is allowed."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.domain.evidence import PersonRecord
from gateway.ports.state_cache import CacheUnavailable
from gateway.ports.store import Change, ChangeKind
from gateway.ports.worker_statuses import Place
from gateway.storage.redis import (
    RedisConnection,
    RedisPublisher,
    RedisRecords,
    RedisSubscription,
    RedisWorkerStatuses,
    SightingReceiver,
    SightingSender,
)
from tests.live.children import free_ports
from tests.support.phone_certificates import Certificates, make_certificates
from tests.support.running import running
from tests.support.upstream import mailbox_server
from tests.system.arranging import agent_of

pytestmark = pytest.mark.live

PASSWORD = "s3cr@t:/1"
PAGE = Path(__file__).parents[3] / "docs" / "operating.md"


def documented_users() -> str:
    """The lines of the page, with a password."""
    (lines,) = re.findall(r"```\n(user gatepost on .*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(lines).replace("PASSWORD", PASSWORD)


@dataclass(frozen=True, slots=True)
class Server:
    """A Redis that listens with TLS."""

    port: int
    certificates: Certificates

    def url(self, user: str = "gatepost", password: str = PASSWORD, host: str = "127.0.0.1") -> str:
        return f"rediss://{user}:{quote(password, safe='')}@{host}:{self.port}"

    def connection(self, url: str = "", authorities: str | None = None) -> RedisConnection:
        trusted = str(self.certificates.authority) if authorities is None else authorities
        return RedisConnection(url or self.url(), authorities=trusted, timeout_seconds=5.0)


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Server]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("not installed: redis-server (make servers)")
    made = make_certificates(tmp_path)
    (port,) = free_ports(1)
    (tmp_path / "users.acl").write_text(documented_users())
    settings = {
        "port": "0",
        "tls-port": str(port),
        "bind": "127.0.0.1 127.0.0.2",
        "tls-cert-file": str(made.certificate),
        "tls-key-file": str(made.key),
        "tls-auth-clients": "no",
        "aclfile": str(tmp_path / "users.acl"),
        "dir": str(tmp_path),
        "save": "",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", *value.split(" "))]
    process = await asyncio.create_subprocess_exec(program, *words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(20):
            while b"Ready to accept connections" not in said:
                line = await process.stdout.readline()
                assert line, said.decode()
                said += line
        yield Server(port, made)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def test_all_that_gatepost_does_is_allowed(secure: Server) -> None:
    connection = secure.connection()
    control = RedisRecords(connection, "life1", 3600, publishing=True)
    worker = RedisRecords(connection, "life1", 3600)
    publisher, subscription = RedisPublisher(connection, "life1"), RedisSubscription(connection)
    assert await subscription.next(0.01) == []
    record = PersonRecord("ann", True, ("ann",), frozenset(), sequence=3)
    await publisher.heartbeat(1)
    await control.put({"ann": record})
    await publisher.publish([Change(3, ChangeKind.PERSON, names=("ann",))])
    assert await worker.get(["ann"]) == {"ann": record}
    assert [message.sequence for message in await subscription.next(1.0)] == [1, 3]
    # An overtaken control process takes away, which is another command.
    await publisher.heartbeat(9)
    await control.put({"ann": PersonRecord("ann", True, ("ann",), frozenset(), sequence=5)})
    assert await worker.get(["ann"]) == {}
    await publisher.outdate(10)
    assert await publisher.published() == 10
    await SightingSender(connection).send([b"seen"])
    assert await SightingReceiver(connection).next(1.0) == [b"seen"]
    statuses, place = RedisWorkerStatuses(connection), Place("mx1-aaaa", "worker-1", "run1")
    await statuses.tell(place, {"policy_version": 1})
    assert [status.place for status in await statuses.all()] == [place]
    # Of this very millisecond or not: that it may forget is what is shown.
    forgetting = await RedisWorkerStatuses(connection, forgotten_seconds=0.0).all()
    assert [status.place for status in forgetting] in ([], [place])
    await statuses.leave(place)
    await connection.close()
    numbered = secure.connection(f"{secure.url()}/3")
    assert await numbered.call(lambda run_id: ("PING",)) == b"PONG"
    await numbered.close()


@pytest.mark.parametrize(
    "words",
    [
        ("GET", "foreign"),
        ("SET", "foreign", "x"),
        ("EVAL", "return redis.call('GET', 'foreign')", "0"),
        ("EVAL", "return redis.call('FLUSHALL')", "0"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("KEYS", "*"),
        ("ACL", "LIST"),
        ("PUBLISH", "anything", "x"),
        ("SHUTDOWN",),
        ("REPLICAOF", "127.0.0.1", "1"),
    ],
)
async def test_nothing_else_is_allowed(secure: Server, words: tuple[str, ...]) -> None:
    connection = secure.connection()
    with pytest.raises(CacheUnavailable, match=r"(?i)no permissions|NOPERM|can't (run|access)"):
        await connection.call(lambda run_id: words)
    await connection.close()


async def test_who_is_not_let_in_is_told_why(secure: Server, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = str(make_certificates(tmp_path / "other").authority)
    place = f"Redis at 127.0.0.1:{secure.port}: "
    untrusted = (
        "its certificate is not trusted (unable to get local issuer certificate): name its authority in [redis] ca"
    )
    found = {
        f"{place}it does not accept user and password: correct [redis] url": secure.connection(
            secure.url(password="wr0ng")
        ),
        f"{place}{untrusted}": secure.connection(authorities=other),
        f"{place}its certificate is not trusted (": secure.connection(authorities=""),
        f"Redis at 127.0.0.2:{secure.port}: its certificate is not trusted (IP address mismatch": secure.connection(
            secure.url(host="127.0.0.2")
        ),
        f"{place}its certificate": secure.connection(f"{secure.url()}?ssl_cert_reqs=none&ssl_check_hostname=no", other),
    }
    for said, connection in found.items():
        with pytest.raises(CacheUnavailable) as caught:
            await connection.call(lambda run_id: ("PING",))
        assert str(caught.value).startswith(said)
        for secret in (PASSWORD, quote(PASSWORD, safe=""), "wr0ng"):
            assert secret not in f"{caught.value} {connection!r}"
        await connection.close()
    plain = secure.connection(secure.url().replace("rediss://", "redis://"))
    with pytest.raises(CacheUnavailable):
        await plain.call(lambda run_id: ("PING",))
    await plain.close()


async def test_a_whole_gateway_on_it(secure: Server, tmp_path: Path) -> None:
    tables = f'[redis]\nurl = "{secure.url()}"\nca = "{secure.certificates.authority}"\n'
    directory = tmp_path / "gateway"
    directory.mkdir()
    async with mailbox_server() as mailbox, running(directory, mailbox.url, more=tables) as gateway:
        async with agent_of(gateway) as agent:
            await agent.clean("ann", "IDANN")
        checked = " ".join((await gateway.gatepost("check")).split())
        assert f"127.0.0.1:{secure.port} answers" in checked
        assert not [line for line in gateway.log if line["event"] in ("feed_unavailable", "sightings_not_stored")]
        async with gateway.api() as api:
            status = (await api.get("/status")).json()["gateway"]
        assert status["publication"]["feed_up"]
    assert PASSWORD not in str(gateway.log) + checked
