"""Envoy's questions over gRPC: any octets end in an answer, and a client's request is judged as nginx asks about it.

The same input is read twice: as a CheckRequest, where nothing but our own errors may come out, and as the head that a
client sent, told by Envoy in both forms that it has for headers.
"""

import base64
from random import Random

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

from gateway.authz import envoy_messages
from gateway.domain.errors import InvalidValue
from gateway.domain.verdict import Effect
from gateway.protocols.activesync.requests import Mount, mount_of
from gateway.protocols.answer import Answer
from gateway.protocols.authz import original
from gateway.protocols.authz.original import ClientQuestion
from gateway.protocols.http.request_head import BadRequest, RequestHead, parse_request
from tests.fuzz import askers, phrases
from tests.fuzz.heads import ADDRESS, RULES
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

Found = ClientQuestion | Answer


def _asked(octets: bytes) -> Found | None:
    """What a CheckRequest asks; None: it is refused."""
    try:
        asked = envoy_messages.read_question(octets)
    except InvalidValue:
        return None
    return original.question(asked.head, asked.address, RULES)


def _told(head: RequestHead, target: bytes, *, raw: bool) -> bytes:
    """A client's request as Envoy tells it."""
    request = CheckRequest()
    request.attributes.source.address.socket_address.address = ADDRESS
    asked = request.attributes.request.http
    asked.method, asked.path = head.method.decode(), target.decode()
    for name, value in [(b":path", target), (b":method", head.method), *head.fields]:
        key = name.decode().lower()
        if raw:
            asked.header_map.headers.add(key=key, raw_value=value)
        else:
            text = _as_text(value)
            asked.headers[key] = f"{asked.headers[key]},{text}" if key in asked.headers else text
    return bytes(request.SerializeToString())


def _as_text(value: bytes) -> str:
    return value.decode("utf-8", "replace").replace("\ufffd", "!")


def _joined(client: RequestHead) -> RequestHead:
    """The same with each header once, as Envoy joins them; of what is no UTF-8 it makes exclamation marks."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in client.fields:
        values.setdefault(name.lower(), []).append(_as_text(value).encode())
    fields = [(name, b",".join(each)) for name, each in values.items()]
    return client._replace(fields=fields, named=dict(fields))


def check(octets: bytes) -> str:
    """See the module."""
    found = _asked(octets)
    if isinstance(found, Answer):
        _carried(found)
    elif found is not None:
        hold("one login at most", _logins(octets) <= 1)
    try:
        client = parse_request(octets)
    except BadRequest:
        return ACCEPTED if found is not None else REFUSED
    target = client.path if client.query is None else client.path + b"?" + client.query
    by_nginx = askers.as_nginx_asks(client, client.method, target)
    once = len(client.named) == len(client.fields) and octets.isascii()
    for raw in (True, False):
        by_envoy = _asked(_told(client, target, raw=raw))
        if once:
            same(f"nginx and Envoy, raw {raw}", by_nginx, by_envoy)
        elif isinstance(by_envoy, ClientQuestion):
            # What comes twice, or is no ASCII, may be refused; it may not be judged as somebody else's. What Envoy has
            # joined nobody can tell from one header with commas in it.
            told = client if raw else _joined(client)
            same(f"told so, raw {raw}", askers.as_nginx_asks(told, client.method, target), by_envoy)
            if isinstance(by_nginx, ClientQuestion):
                same(f"judged alike, raw {raw}", by_nginx, by_envoy)
        if isinstance(by_envoy, Answer):
            _carried(by_envoy)
    if mount_of(client.path) is Mount.EAS and isinstance(by_nginx, ClientQuestion):
        return ACCEPTED
    return ACCEPTED if isinstance(by_nginx, ClientQuestion) else REFUSED


def _logins(octets: bytes) -> int:
    """How many times somebody says who it is in a question that was understood."""
    asked = CheckRequest.FromString(octets).attributes.request.http
    names = [*asked.headers, *(each.key for each in asked.header_map.headers)]
    return sum(name.lower() == "authorization" for name in names)


def _carried(answer: Answer) -> None:
    """The client's answer arrives as it is, and never as ALLOW."""
    response = CheckResponse.FromString(envoy_messages.refused(answer, Effect.DENY))
    hold("not ALLOW", response.status.code and not response.HasField("ok_response"))
    told = response.denied_response
    same("the answer", (answer.status, answer.body), (told.status.code, told.body.encode()))
    same("its headers", list(answer.headers), [(each.header.key, each.header.value) for each in told.headers])


def grow(random: Random) -> bytes:
    """A client's head, or a question about one."""
    head = askers.grow_askers(random)
    if random.random() < 0.5:
        return head
    try:
        client = parse_request(head)
    except BadRequest:
        return head
    target = client.path if client.query is None else client.path + b"?" + client.query
    if random.random() < 0.2:
        client.fields.append((b"Authorization", b"Basic " + base64.b64encode(b"bert:x")))
    return _told(client, target, raw=random.random() < 0.5)


TARGET = Target(
    "envoy",
    "a client's request as Envoy tells it over gRPC, with the same as nginx tells it",
    check,
    grow,
    (*phrases.WORDS, b"\x0a\x02", b"\x22\x04\x12\x02", b":path", b"\xff\xff\xff\xff\x0f", b"\x80"),
)
