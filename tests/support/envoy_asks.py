"""What an Envoy says over gRPC by its documentation (``envoy.service.auth.v3``), and a client that says it.

A real Envoy asks in ``tests/live/askers``. Here the client is gRPC's own and the messages are Envoy's; the headers
are those that Envoy tells, its pseudo headers among them.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from envoy.service.auth.v3.external_auth_pb2_grpc import AuthorizationStub

from gateway.domain.verdict import Effect
from tests.support.asking import KEY, Asking
from tests.support.raw_http import basic

PATIENCE_SECONDS = 20.0
METHOD = "/envoy.service.auth.v3.Authorization/Check"
Headers = Sequence[tuple[str, str]]


def told(uri: str, user: str = "", *, method: str = "POST", version: str = "14.1", more: Headers = ()) -> Headers:
    """The headers of a phone's request, as Envoy tells them."""
    own = (
        *((":authority", "mail.example"), (":path", uri), (":method", method), (":scheme", "https")),
        *(("x-forwarded-proto", "https"), ("x-forwarded-for", "192.0.2.7"), ("x-request-id", "5c0b")),
        *(("ms-asprotocolversion", version), ("user-agent", "Android/13")),
    )
    return (*own, *((("authorization", basic(user)),) if user else ()), *more)


def check(uri: str, headers: Headers, *, method: str = "POST", raw: bool = False) -> CheckRequest:
    """One question; ``raw``: with ``encode_raw_headers``, else what comes twice is joined by a comma."""
    request = CheckRequest()
    attributes = request.attributes
    attributes.source.address.socket_address.address = "192.0.2.7"
    attributes.source.address.socket_address.port_value = 40_000
    asked = attributes.request.http
    asked.id, asked.method, asked.path, asked.host = "7", method, uri, "mail.example"
    asked.scheme, asked.protocol, asked.size = "https", "HTTP/1.1", -1
    for name, value in headers:
        if raw:
            asked.header_map.headers.add(key=name, raw_value=value.encode("latin-1"))
        else:
            asked.headers[name] = f"{asked.headers[name]},{value}" if name in asked.headers else value
    return request


def phone(uri: str, user: str = "", **said: Any) -> CheckRequest:
    """The question about a phone's request."""
    return check(uri, told(uri, user, **said), method=said.get("method", "POST"))


class Envoy:
    """A client with one connection at a time."""

    def __init__(self, channel: Any, key: str) -> None:
        self.channel = channel
        self._stub = AuthorizationStub(channel)
        self._key = key

    async def ask(self, request: CheckRequest, seconds: float = PATIENCE_SECONDS, **more: Any) -> CheckResponse:
        """One question. Raises ``grpc.aio.AioRpcError``."""
        metadata = (("x-gatepost-key", self._key),) if self._key else ()
        return await self._stub.Check(request, timeout=seconds, metadata=metadata, **more)


@asynccontextmanager
async def envoy(target: str, key: str = KEY, credentials: Any = None, **options: Any) -> AsyncIterator[Envoy]:
    """An Envoy that asks at ``host:port`` or ``unix:/path``."""
    said = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), *options.items())
    if credentials is None:
        channel = grpc.aio.insecure_channel(target, options=said)
    else:
        channel = grpc.aio.secure_channel(target, credentials, options=said)
    try:
        yield Envoy(channel, key)
    finally:
        await channel.close()


async def asked_by_envoy(authz: Asking, request: CheckRequest, key: str = KEY) -> CheckResponse:
    """One question on a connection of its own."""
    async with envoy(await authz.for_envoy(), key) as client:
        return await client.ask(request)


def effect_of(response: CheckResponse) -> Effect:
    """What Envoy does: status 0 lets in, all else gets the answer that is with it."""
    if response.status.code == 0:
        assert not response.HasField("denied_response")
        return Effect.ALLOW
    return Effect.DEFER if response.denied_response.status.code == 503 else Effect.DENY


def headers_of(options: Iterable[Any]) -> dict[str, str]:
    """Headers that Envoy sets; each of them says itself that it takes the place of another one."""
    found = {}
    for each in options:
        assert each.HasField("append")
        assert not each.append.value
        found[each.header.key.lower()] = each.header.value
    return found


def noted(response: CheckResponse) -> dict[str, str]:
    """What stands in Envoy's access log."""
    return {name: value.string_value for name, value in response.dynamic_metadata.fields.items()}
