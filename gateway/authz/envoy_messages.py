"""Envoy's messages (``envoy.service.auth.v3``): a CheckRequest to a client's head, an answer to a CheckResponse.

ALLOW is status 0. Everything else has a status and the client's whole answer (``DeniedHttpResponse``), an HTTP 200 with
Status 129 included: over gRPC, unlike over HTTP, Envoy does not take a 200 for ALLOW. "Cannot know now" is a denial,
with 503, and no ``error_response``: older Envoys do not know that field, and newer ones let it pass where the operator
has set ``failure_mode_allow``.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from google.protobuf.message import DecodeError

from gateway.domain.errors import InvalidValue
from gateway.domain.verdict import Effect
from gateway.protocols.answer import Answer
from gateway.protocols.authz import envoy
from gateway.protocols.authz.client_certificate import der_of
from gateway.protocols.http.request_head import RequestHead

QUESTION_LONGEST: Final = 128 << 10
"""Octets. Envoy takes heads of 60 KiB, and says some of their fields twice."""
_OK: Final = 0
_CODES: Final = {Effect.DENY: 7, Effect.DEFER: 14}
"""PERMISSION_DENIED and UNAVAILABLE of ``google.rpc.Code``; Envoy looks only whether it is 0."""
_OWN: Final = "x-gatepost-"


class Question(NamedTuple):
    """What Envoy asks."""

    head: RequestHead
    address: str
    own: tuple[str, ...]
    """Headers of the client under names of ours: the mail server is not to see them."""
    certificate: bytes | None = None
    """What the client has shown to Envoy, in DER; a field that no client can write."""


def read_question(octets: bytes) -> Question:
    """Raises ``Misconfigured`` and ``InvalidValue``."""
    try:
        attributes = CheckRequest.FromString(octets).attributes
    except DecodeError:
        raise InvalidValue("the question is no CheckRequest") from None
    asked = attributes.request.http
    headers = list(_headers(asked))
    head = envoy.client_head(asked.method, asked.path, headers)
    own = tuple({name.lower() for name, _ in headers if name.lower().startswith(_OWN)})
    source = attributes.source
    address = envoy.client_address(source.address.socket_address.address)
    return Question(head, address, own, der_of(source.certificate.encode()))


def _headers(asked: Any) -> Iterable[tuple[str, bytes]]:
    """Joined by name, or (``encode_raw_headers``) as they came; whoever sends both means both."""
    for name, value in asked.headers.items():
        yield name, value.encode()
    for each in asked.header_map.headers:
        yield each.key, each.raw_value or each.value.encode()


def allowed(facts: Iterable[tuple[str, str]], own: Iterable[str]) -> bytes:
    """ALLOW. ``facts`` go to the mail server in place of what the client calls so, and into Envoy's access log."""
    response = CheckResponse()
    response.status.code = _OK
    known = dict(facts)
    _add(response.ok_response.headers, known.items())
    names = {name.lower() for name in known}
    response.ok_response.headers_to_remove.extend(sorted(name for name in own if name not in names))
    _note(response, known)
    return bytes(response.SerializeToString())


def refused(answer: Answer, effect: Effect, facts: Iterable[tuple[str, str]] = ()) -> bytes:
    """What is not ALLOW, with the client's whole answer; ``facts`` go into Envoy's access log only."""
    response = CheckResponse()
    response.status.code = _CODES[effect]
    response.denied_response.status.code = answer.status
    _add(response.denied_response.headers, answer.headers)
    # A string in this protocol. Refusals are text, or WBXML whose octets are all below 0x80.
    response.denied_response.body = answer.body.decode()
    _note(response, dict(facts))
    return bytes(response.SerializeToString())


def _add(headers: Any, pairs: Iterable[tuple[str, str]]) -> None:
    seen: set[str] = set()
    for name, value in pairs:
        added = headers.add()
        added.header.key, added.header.value = name, value
        # Always said: left out, newer Envoys would add a second Content-Type to that of their own.
        added.append.value = name.lower() in seen
        seen.add(name.lower())


def _note(response: Any, facts: dict[str, str]) -> None:
    """``%DYNAMIC_METADATA(envoy.filters.http.ext_authz:reason)%`` in an access log."""
    for name, value in facts.items():
        key = name.lower().removeprefix(_OWN).replace("-", "_")
        response.dynamic_metadata.fields[key].string_value = value
