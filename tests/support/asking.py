"""External authorization on loopback with a real decision point, over records that a test writes by hand."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.authz.following import Following
from gateway.authz.front import AuthzFront
from gateway.authz.haproxy_speech import HaproxySpeech
from gateway.authz.http_speech import HttpSpeech
from gateway.authz.keys import AskerKeys
from gateway.authz.postfix_speech import PostfixSpeech
from gateway.authz.settings import AuthzSettings
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.domain.access import Protocol
from gateway.domain.identity import IdentityRules
from gateway.network.tls import ServerTls
from gateway.observability.metrics import Metrics
from gateway.protocols.authz.spop import FrameType
from tests.support import spop_frames
from tests.support.fronted import BAN, TIKTOK, Certificates, Clock, Evidence, policy, settled
from tests.support.raw_http import Client, HttpAnswer, basic

if TYPE_CHECKING:
    from gateway.authz.envoy_front import EnvoyFront

FollowingMaker = Callable[[str, "Asking"], Following | None]

KEY = "0123456789abcdef0123456789abcdef"
MAIL_SERVERS = {Protocol.IMAP: ("192.0.2.1", 143), Protocol.POP3: ("192.0.2.1", 110), Protocol.SMTP: ("192.0.2.1", 587)}


USUAL: dict[str, object] = {"mail_servers": MAIL_SERVERS, "answer_seconds": 20.0}
"""A busy machine must not make "too late" of an answer."""


class Asking:
    """The front with everything behind it, and askers' words."""

    def __init__(
        self,
        directory: Path,
        certificates: Certificates | None = None,
        following: "FollowingMaker | None" = None,
        **settings: object,
    ) -> None:
        """``following``: makes what goes on after the answers of a part's front."""
        self.key_file = directory / "key"
        self.key_file.write_text(KEY + "\n")
        self.now = Clock(time.time)
        self.clock = Clock(time.monotonic)
        self.evidence = Evidence()
        self.cache = DeviceCache(self.evidence.read)
        self.decision = DecisionPoint(self.cache, policy(BAN), self.now)
        self.metrics = Metrics()
        made = AuthzSettings(**{**USUAL, **settings})  # type: ignore[arg-type]
        self.rules = IdentityRules("corp.example")
        self._made = (made, AskerKeys([str(self.key_file)]), self.decision, self.rules, self.metrics)
        self.certificates = certificates and certificates(self.now)
        self._vouched = None if self.certificates is None else self.certificates.handed_on
        self.followed = {part: following(part, self) if following else None for part in ("http", "haproxy", "postfix")}
        self.front, self.haproxy_front, self.postfix_front = (
            AuthzFront(*self._made, speech=speech, vouched=self._vouched, following=self.followed[part])
            for part, speech in (("http", HttpSpeech), ("haproxy", HaproxySpeech), ("postfix", PostfixSpeech))
        )
        self.fronts: dict[str, AuthzFront] = {
            "http": self.front,
            "haproxy": self.haproxy_front,
            "postfix": self.postfix_front,
        }
        for front in self.fronts.values():
            front.clock = self.clock
        self.http = ""
        self.haproxy = ""
        self.postfix = ""
        self._envoy = ""
        self._clients: list[Client] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def listen(self) -> None:
        """Serve all on free ports."""
        for each in self.followed.values():
            if each is not None:
                await each.start()
        for part, front in self.fronts.items():
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            await front.listen(sock, None, secure=False)
            setattr(self, part, f"tcp://127.0.0.1:{sock.getsockname()[1]}")

    def front_of(self, part: str) -> AuthzFront:
        """By the name of a listener; of Envoy the first one."""
        return next(front for name, front in self.fronts.items() if name.startswith(part))

    def http_front(self, tls: ServerTls) -> AuthzFront:
        """A front for HTTP askers within TLS that listens nowhere yet."""
        front = AuthzFront(*self._made, speech=HttpSpeech, tls=tls, vouched=self._vouched)
        front.clock = self.clock
        self.fronts[f"https {len(self.fronts)}"] = front
        return front

    async def envoy_front(self, tls: ServerTls | None = None) -> "EnvoyFront":
        """A front for Envoy that listens nowhere yet; the others never hold gRPC."""
        from gateway.authz.envoy_front import EnvoyFront

        front = EnvoyFront(*self._made, tls=tls, vouched=self._vouched)
        front.clock = self.clock
        self.fronts[f"envoy {len(self.fronts)}"] = front
        await front.start()
        return front

    async def for_envoy(self) -> str:
        """Where an Envoy asks."""
        if not self._envoy:
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            await (await self.envoy_front()).listen(sock, None, secure=False)
            self._envoy = f"127.0.0.1:{sock.getsockname()[1]}"
        return self._envoy

    def clean(self, login: str, device_id: str) -> None:
        """The device has no banned app; heard of at once."""
        self.decision.changed(login, self.evidence.put(login, device_id))

    def dirty(self, login: str, device_id: str) -> None:
        """The device has a banned app; heard of at once."""
        self.decision.changed(login, self.evidence.put(login, device_id, TIKTOK))

    async def client(self) -> Client:
        """A connection to the HTTP listener."""
        client = await Client.connected(self.http)
        self._clients.append(client)
        return client

    async def ask(self, octets: bytes, method: str = "GET") -> HttpAnswer:
        """One question on a connection of its own."""
        return await (await self.client()).ask(octets, method)

    async def policy(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the Postfix listener."""
        return await self.connected(self.postfix)

    async def connected(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to one of the listeners."""
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        self._writers.append(writer)
        return reader, writer

    async def action(self, octets: bytes) -> str:
        """What Postfix is told on a connection of its own."""
        reader, writer = await self.policy()
        writer.write(octets)
        return await read_action(reader)

    def answered(self, asker: str, answer: str) -> float:
        """How many answers of a kind an asker got."""
        return self.metrics.families["gatepost_authz_answers_total"].get(asker, answer)

    async def variables(self, uri: str, user: str, key: str = KEY, **more: bytes) -> dict[str, str]:
        """What HAProxy is told on a connection of its own."""
        reader, writer = await self.connected(self.haproxy)
        writer.write(spop_frames.HELLO + spop_frames.asked(uri, user, key, **more))
        assert (await read_frame(reader))[0] == FrameType.AGENT_HELLO
        return variables_of(await read_frame(reader))

    async def close(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        for writer in self._writers:
            writer.close()
        for front in self.fronts.values():
            await front.close()
        await self.decision.close()
        await settled()


async def read_action(reader: asyncio.StreamReader) -> str:
    """One answer without its empty line."""
    async with asyncio.timeout(20):
        return (await reader.readuntil(b"\n\n")).decode().strip()


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """One frame of SPOP without its length."""
    async with asyncio.timeout(20):
        return await reader.readexactly(int.from_bytes(await reader.readexactly(4)))


def variables_of(frame: bytes) -> dict[str, str]:
    """The variables that an ACK sets; they are short, so every length is one octet."""
    assert frame[0] == FrameType.ACK
    found, at = {}, 7
    while at < len(frame):
        assert frame[at : at + 3] == b"\x01\x03\x02"
        name_end = at + 4 + frame[at + 3]
        value_at = name_end + 2
        value_end = value_at + frame[name_end + 1]
        found[frame[at + 4 : name_end].decode()] = frame[value_at:value_end].decode()
        at = value_end
    return found


@asynccontextmanager
async def asking(
    directory: Path,
    certificates: Certificates | None = None,
    following: FollowingMaker | None = None,
    **settings: object,
) -> AsyncIterator[Asking]:
    """A front that serves."""
    made = Asking(directory, certificates, following, **settings)
    await made.listen()
    try:
        yield made
    finally:
        await made.close()


def question(path: str, *lines: str, user: str = "", key: str = KEY, method: str = "GET", body: bytes = b"") -> bytes:
    """A question of an HTTP asker."""
    said = [f"{method} /authz/v1/{path} HTTP/1.1", "Host: gatepost", *lines]
    said += [f"X-Gatepost-Key: {key}"] if key else []
    said += [f"Authorization: {basic(user)}"] if user else []
    said += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join((*said, "", "")).encode("latin-1") + body


def original(uri: str, method: str = "POST", version: str = "14.1") -> tuple[str, ...]:
    """What nginx says of its client."""
    return (
        *(f"X-Original-Method: {method}", f"X-Original-URI: {uri}", "X-Client-IP: 192.0.2.7"),
        f"MS-ASProtocolVersion: {version}",
    )


def forwarded(uri: str, method: str = "POST", version: str = "14.1") -> tuple[str, ...]:
    """What Caddy and Traefik say of theirs."""
    return (
        *(f"X-Forwarded-Method: {method}", f"X-Forwarded-Uri: {uri}", "X-Forwarded-For: 192.0.2.7"),
        f"MS-ASProtocolVersion: {version}",
    )


def mail_login(protocol: str, user: str) -> tuple[str, ...]:
    """What nginx's mail proxy says of a login."""
    return (
        *("Auth-Method: plain", f"Auth-User: {user}", "Auth-Pass: secret", f"Auth-Protocol: {protocol}"),
        *("Auth-Login-Attempt: 1", "Client-IP: 192.0.2.7"),
    )


def policy_request(user: str, state: str = "RCPT", key: str = KEY) -> bytes:
    """What Postfix says at a recipient."""
    return (
        f"request=smtpd_access_policy\nprotocol_state={state}\nclient_address=192.0.2.7\nrecipient=b@corp.example\n"
        f"sasl_username={user}\npolicy_context={key}\n\n"
    ).encode()
