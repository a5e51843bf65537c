"""Connections of Envoys: within bounds, known by what they show, and no question lost when a worker ends."""

import asyncio
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from gateway.authz import front as front_module
from gateway.domain.verdict import Effect
from gateway.network.tls import ServerTls
from tests.network.authority import Authority
from tests.support.asking import Asking, asking
from tests.support.envoy_asks import Envoy, effect_of, envoy, phone
from tests.support.fronted import until
from tests.support.raw_http import eas

ANNA = phone(eas("FolderSync", "anna", "ANNAPHONE"), "anna")
BERT = phone(eas("FolderSync", "bert", "BERTPHONE"), "bert")


def listening() -> tuple[socket.socket, str]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, f"127.0.0.1:{sock.getsockname()[1]}"


async def asks_until(client: Envoy, over: asyncio.Event) -> int:
    """Ask one question after the other; each must be answered."""
    asked = 0
    while not over.is_set():
        assert effect_of(await client.ask(BERT)) is Effect.DENY
        asked += 1
    return asked


async def test_no_question_is_lost_when_another_takes_over(authz: Asking) -> None:
    """As at a reload or an upgrade: both accept at one socket, then the first one drains."""
    sock, target = listening()
    first, second = await authz.envoy_front(), await authz.envoy_front()
    await first.listen(sock.dup(), None, secure=False)
    over = asyncio.Event()
    async with envoy(target) as one, envoy(target) as other:
        asking = [asyncio.create_task(asks_until(each, over)) for each in (one, other) * 4]
        await until(lambda: authz.answered("envoy_grpc", "deny") > 20)
        await second.listen(sock, None, secure=False)
        async with asyncio.timeout(10):
            await first.drain(5.0, handed_over=True)
        assert not first.connections
        before = authz.answered("envoy_grpc", "deny")
        await until(lambda: authz.answered("envoy_grpc", "deny") > before + 20)
        over.set()
        counts = await asyncio.gather(*asking)
    assert min(counts) > 1
    assert second.connections or sum(counts) > 40


async def test_a_question_that_is_under_way_is_answered_when_draining(
    authz: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module, "LAST_QUESTION_SECONDS", 0.05)
    sock, target = listening()
    front = await authz.envoy_front()
    await front.listen(sock, None, secure=False)
    authz.evidence.gate = asyncio.Event()
    async with envoy(target) as client:
        waiting = asyncio.create_task(client.ask(BERT))
        await until(lambda: authz.evidence.reads > 0)
        (asks,) = front.connections
        _, writer = await asyncio.open_connection(*target.split(":"))
        await until(lambda: len(front.connections) == 2)
        drained = asyncio.create_task(front.drain(10.0, handed_over=False))
        # Those that ask nothing are closed, and this one is not.
        await until(lambda: front.connections == {asks})
        writer.close()
        assert not drained.done()
        authz.evidence.gate.set()
        assert effect_of(await waiting) is Effect.DENY
        async with asyncio.timeout(5):
            await drained


async def test_nobody_on_this_machine_takes_the_names_before_they_are_used(authz: Asking) -> None:
    """An abstract unix socket has no owner: whoever comes first has the name."""
    sock, target = listening()
    front = await authz.envoy_front()
    await front.listen(sock, None, secure=False)
    with ExitStack() as taken:
        for number in range(50):
            one = taken.enter_context(socket.socket(socket.AF_UNIX))
            one.bind(f"\0{front.service.address}.{number}")
        async with envoy(target) as client:
            assert effect_of(await client.ask(ANNA)) is Effect.ALLOW


async def test_an_idle_connection_is_told_to_leave(authz: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    sock, target = listening()
    front = await authz.envoy_front()
    await front.listen(sock, None, secure=False)
    async with envoy(target) as client:
        await client.ask(ANNA)
        (connection,) = front.connections
        aborted: list[object] = []
        monkeypatch.setattr(connection, "abort", lambda: aborted.append(connection))
        authz.clock.ahead += 321
        front.sweep()
        # gRPC's client does as it is told, like Envoy; nobody had to close.
        await until(lambda: not front.connections)
        assert not aborted
        assert effect_of(await client.ask(ANNA)) is Effect.ALLOW
        assert front.connections
        assert connection not in front.connections


@pytest.mark.parametrize(
    "octets",
    [b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01" + bytes(70_000)],
    ids=["nothing", "http", "the preface only", "tls"],
)
async def test_who_asks_nothing_is_closed(authz: Asking, octets: bytes) -> None:
    sock, target = listening()
    front = await authz.envoy_front()
    await front.listen(sock, None, secure=False)
    host, port = target.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(octets)
    await until(lambda: bool(front.connections) or reader.at_eof())
    for ahead in (11, 2):
        authz.clock.ahead += ahead
        front.sweep()
    await until(lambda: not front.connections)
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            await reader.read()
    writer.close()
    async with envoy(target) as client:
        assert effect_of(await client.ask(ANNA)) is Effect.ALLOW


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113 §4.1."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header by RFC 7541 §6.2.2, its name by number where that is short enough to say, else in letters."""
    return name + bytes((len(value),)) + value


BEGIN = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
HEADERS = b"\x83\x86" + b"".join(
    (
        literal(b"\x04", b"/envoy.service.auth.v3.Authorization/Check"),
        *(literal(b"\x01", b"gatepost"), literal(b"\x0f\x10", b"application/grpc"), literal(b"\0\2te", b"trailers")),
    )
)
FLOODS = {
    "resets": b"".join(
        frame(1, 4, stream, HEADERS) + frame(3, 0, stream, bytes(4)) for stream in range(1, 2 * 5_000, 2)
    ),
    "questions without end": b"".join(frame(1, 4, stream, HEADERS) for stream in range(1, 2 * 5_000, 2)),
    "headers without end": frame(1, 0, 1, HEADERS) + frame(9, 0, 1, literal(b"\0\1x", b"y" * 100) * 100) * 500,
    "pings": frame(6, 0, 0, bytes(8)) * 50_000,
    "settings": frame(4, 0, 0, b"\0\4\0\0\xff\xff") * 20_000,
}


@pytest.mark.parametrize("flood", list(FLOODS))
async def test_a_flood_by_one_holds_nobody_else_back(authz: Asking, flood: str) -> None:
    """It has no key, and takes nothing of what it is told."""
    sock, target = listening()
    front = await authz.envoy_front()
    await front.listen(sock, None, secure=False)
    host, port = target.split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(BEGIN + FLOODS[flood])
    async with envoy(target) as client:
        for _ in range(20):
            assert effect_of(await client.ask(ANNA)) is Effect.ALLOW
    assert authz.evidence.reads == 1
    writer.close()
    for ahead in (11, 2, 11):
        authz.clock.ahead += ahead
        front.sweep()
    await until(lambda: not front.connections)


async def test_one_connection_too_many(tmp_path: Path) -> None:
    async with asking(tmp_path, max_connections=1) as authz:
        authz.clean("anna@corp.example", "annaphone")
        sock, target = listening()
        front = await authz.envoy_front()
        await front.listen(sock, None, secure=False)
        async with envoy(target) as first, envoy(target) as second:
            assert effect_of(await first.ask(ANNA)) is Effect.ALLOW
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await second.ask(ANNA, seconds=2.0)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert effect_of(await first.ask(ANNA)) is Effect.ALLOW
        assert authz.metrics.families["gatepost_authz_askers_refused_total"].get("too_many") >= 1


async def test_who_may_open_the_unix_socket_needs_no_key(authz: Asking, tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "envoy.sock"))
    front = await authz.envoy_front()
    await front.listen(sock, None, secure=False)
    async with envoy(f"unix:{tmp_path}/envoy.sock", key="") as client:
        assert effect_of(await client.ask(ANNA)) is Effect.ALLOW
        assert effect_of(await client.ask(BERT)) is Effect.DENY


async def test_nobody_gets_round_the_listeners(authz: Asking) -> None:
    """gRPC's own socket is open to every program of this machine, and answers none of them."""
    front = await authz.envoy_front()
    async with envoy(f"unix-abstract:{front.service.address}") as client:
        response = await client.ask(ANNA)
    assert (response.status.code, response.denied_response.status.code) == (14, 503)
    assert authz.evidence.reads == 0


def credentials(authority: Authority, *, shown: bool) -> grpc.ChannelCredentials:
    one = authority.issue("envoy", client=True)
    pair = (one.key.read_bytes(), one.certificate.read_bytes()) if shown else (None, None)
    return grpc.ssl_channel_credentials(authority.certificate.read_bytes(), *pair)


async def within_tls(authz: Asking, authority: Authority) -> str:
    """Where an Envoy asks so; a certificate is required where the front's settings say so."""
    required = (await authz.envoy_front()).settings.certificates_required
    more = {"client_ca": str(authority.certificate), "client_required": True} if required else {}
    shown = ServerTls(authority.issue("localhost", "127.0.0.1").files(alpn=("h2",), **more))
    sock, target = listening()
    await (await authz.envoy_front(shown)).listen(sock, shown, secure=True)
    return target.replace("127.0.0.1", "localhost")


async def test_within_tls_with_the_key(authz: Asking, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    target = await within_tls(authz, authority)
    async with envoy(target, credentials=credentials(authority, shown=False)) as client:
        assert effect_of(await client.ask(ANNA)) is Effect.ALLOW
        assert effect_of(await client.ask(BERT)) is Effect.DENY
    async with envoy(target, key="", credentials=credentials(authority, shown=False)) as client:
        assert effect_of(await client.ask(ANNA)) is Effect.DEFER


async def test_within_tls_with_a_certificate_and_no_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with asking(tmp_path, certificates_required=True) as authz:
        authz.clean("anna@corp.example", "annaphone")
        target = await within_tls(authz, authority)
        async with envoy(target, key="", credentials=credentials(authority, shown=True)) as client:
            assert effect_of(await client.ask(ANNA)) is Effect.ALLOW
        async with envoy(target, credentials=credentials(authority, shown=False)) as client:
            with pytest.raises(grpc.aio.AioRpcError):
                await client.ask(ANNA, seconds=2.0)
        assert authz.metrics.families["gatepost_authz_askers_refused_total"].get("tls_client_certificate") >= 1
