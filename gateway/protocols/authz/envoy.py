"""What Envoy says of its client's request over gRPC (``envoy.service.auth.v3``), as the head that the client sent.

Envoy tells every header, its own pseudo headers among them (``:path``), unless its configuration leaves some out. Then
credentials may be among those, and whoever has them would pass for somebody without: so a question that does not have
``:path`` is a mistake and lets nobody in.
"""

import re
from collections.abc import Iterable

from gateway.domain.errors import InvalidValue
from gateway.protocols.authz.original import Misconfigured, as_asked
from gateway.protocols.http.request_head import RequestHead

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]{1,64}\Z")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
_ONCE = frozenset((b"authorization", b"content-encoding", b"content-type", b"ms-asprotocolversion"))
"""Of which two could be read in two ways. Envoy joins what comes twice by a comma, unless told to send it raw."""
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}\Z")


def client_head(method: str, target: str, headers: Iterable[tuple[str, bytes]]) -> RequestHead:
    """The head of the client's own request.

    Raises ``Misconfigured`` where Envoy leaves out what it must say, and ``InvalidValue`` for what is no request.
    """
    said = [(name.lower().encode(), value.strip(b" \t")) for name, value in headers]
    if not method or not target:
        raise Misconfigured("there is no HTTP request in the question: ask by envoy.filters.http.ext_authz")
    if not any(name == b":path" for name, _ in said):
        raise Misconfigured(
            "headers are left out of the question, credentials perhaps among them: remove allowed_headers and "
            "disallowed_headers from ext_authz"
        )
    fields = [each for each in said if not each[0].startswith(b":")]
    _check(fields)
    bare = RequestHead(b"", b"", None, fields, dict(fields), 0, False, True, False, True)
    return as_asked(bare, method.encode(), target.encode())


def _check(fields: list[tuple[bytes, bytes]]) -> None:
    seen = set()
    for name, value in fields:
        if not _NAME.match(name) or not _VALUE.match(value):
            raise InvalidValue("a header has octets that no header has")
        if name in seen and name in _ONCE:
            raise InvalidValue("a header comes twice: the mail server may believe the other one")
        seen.add(name)


def client_address(said: str) -> str:
    """For the log only, so an odd one is left out."""
    return said if _ADDRESS.match(said) else ""
