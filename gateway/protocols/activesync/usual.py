"""Request and answer as phones and mail servers write them, each recognised by one expression: the fast way.

Whatever is recognised here, ``request_head``, ``query`` and ``response_head`` would read alike, only in several steps;
whatever is not (another spelling of a name, a header not listed, a body that is not all here) is read by those. So this
file may be left out without changing a single answer.
"""

import binascii
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.domain.identity import canonical_device_id
from gateway.protocols.activesync.commands import CODES, ROOTS, BodyKind, Command, body_kind
from gateway.protocols.activesync.headers import ALTERED, RESPONSE_HEADERS
from gateway.protocols.activesync.query import EasQuery
from gateway.protocols.activesync.requests import Credentials
from gateway.protocols.activesync.versions import HEADER_VALUES, Version
from gateway.protocols.http.response_head import LENGTH_DIGITS

_TEXT = rb"[!-~][ -~]*+"


def _once(group: int, name: bytes, value: bytes) -> bytes:
    """A header that decides something stands once: fails where its group (its place in the expression) is set."""
    return rb"%b: (?(%d)(?!))(%b)\r\n|" % (name, group, value)


# Possessive throughout: no request makes the expression go back over a line.
_REQUEST = re.compile(
    rb"POST /Microsoft-Server-ActiveSync\?("
    rb"(?:Cmd=([A-Za-z]{4,17}+)&)?+User=((?:[A-Za-z0-9._@-]|%5[Cc]|%40){1,256}+)&DeviceId=([A-Za-z0-9]{1,32}+)"
    rb"&DeviceType=([A-Za-z0-9._-]{1,64}+)(?:&Cmd=([A-Za-z]{4,17}+))?+) HTTP/1\.1\r\n"
    rb"(?:"
    + _once(7, b"Authorization", rb"Basic ([A-Za-z0-9+/]++={0,2}+)")
    + _once(9, b"Host", rb"[A-Za-z0-9.-]{1,253}+(?::[0-9]{1,5}+)?+")
    + _once(10, b"Content-Length", rb"[0-9]{1,7}+")
    + _once(11, b"MS-ASProtocolVersion", rb"[0-9.]{3,4}+")
    + _once(12, b"User-Agent", _TEXT)
    + _once(13, b"Content-Type", _TEXT)
    + _once(14, b"X-MS-PolicyKey", rb"[0-9]{1,10}+")
    + _once(15, b"Connection", rb"[Kk]eep-[Aa]live")
    + rb"(?:Accept(?:-Language|-Encoding)?+|Cookie): "
    + _TEXT
    + rb"\r\n)++\r\n"
)
_CONNECTION = 15
_HEADER = b"\x03\x01\x6a\x00"
"""Of a WBXML document ([MS-ASWBXML] 2.1)."""
_LONGEST = 8 << 10
"""Octets: what is longer than a mere question goes the ordinary way."""


def _beginning(command: Command) -> bytes | None:
    """The first octets of a body of that command; None: it has no such body in every version."""
    if body_kind(command, Version.V14_0) is not BodyKind.WBXML:
        return None
    page, tag = ROOTS[command]
    return _HEADER + (bytes((0, page)) if page else b"") + bytes((tag | 0x40,))


_COMMANDS: dict[bytes | None, tuple[Command, bytes]] = {
    command.value.encode(): (command, beginning)
    for command in CODES.values()
    # Ping ends another Ping, the other two say what the phone is: each of them needs more than to be passed on.
    if command not in (Command.PING, Command.SETTINGS, Command.PROVISION)
    and (beginning := _beginning(command)) is not None
}
_MAILING = frozenset((Command.SEND_MAIL, Command.SMART_FORWARD, Command.SMART_REPLY))


class UsualRequest(NamedTuple):
    """A whole request: a POST with a plain query, name and password, and all of its body."""

    command: Command
    user: str
    """In ``User`` and in the credentials alike."""
    device_id: str
    """Canonical."""
    device_id_raw: bytes
    device_type: str
    version: Version | None
    authorization: bytes
    host: bytes
    user_agent: bytes | None
    query: bytes
    """As received, which is its unambiguous spelling."""
    head: bytes
    """As received, without the hop-by-hop ``Connection`` and without the empty line at its end."""
    body: bytes

    @property
    def credentials(self) -> Credentials:
        """As ``requests.read_authorization`` reads them."""
        return Credentials("basic", self.user, self.authorization)

    @property
    def asked(self) -> EasQuery:
        """As ``query.parse_query`` reads it."""
        return EasQuery(
            self.command, self.user, self.device_id, self.device_id_raw, self.device_type, received=self.query
        )


def read_usual(octets: bytes) -> UsualRequest | None:
    """The request that ``octets`` are, no more and no less; None: read it step by step. Never raises."""
    found = _REQUEST.match(octets) if len(octets) <= _LONGEST else None
    if found is None:
        return None
    query, first, user, device_id, device_type, last, authorization, secret, host, length, version, agent = found.group(
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
    )
    known = _COMMANDS.get(first or last)
    end = found.end()
    if known is None or (first and last) or host is None or not length or end + int(length) != len(octets):
        return None
    command, beginning = known
    spoken = HEADER_VALUES.get(version)
    if not octets.startswith(beginning, end) or (spoken is None and version is not None):
        return None
    if command in _MAILING and (spoken is None or spoken < Version.V14_0):
        return None
    if b"%" in user:
        user = unquote_to_bytes(user)
    if secret is None or not _names(secret, user):
        return None
    begins, ends = found.span(_CONNECTION)
    head = octets[: end - 2] if begins < 0 else octets[: begins - len(b"Connection: ")] + octets[ends + 2 : end - 2]
    return UsualRequest(
        command,
        user.decode("ascii"),
        canonical_device_id(device_id),
        device_id,
        device_type.decode("ascii"),
        spoken,
        authorization,
        host,
        agent,
        query,
        head,
        octets[end:],
    )


def _names(secret: bytes, user: bytes) -> bool:
    """Whether name and password in base64 are of that very user."""
    try:
        return binascii.a2b_base64(secret, strict_mode=True).startswith(user + b":")
    except ValueError:
        return False


_ANSWER = re.compile(rb"(HTTP/1\.1 200 [ -~]*+)\r\n((?:[A-Za-z0-9-]++: [!-~\x80-\xff][ -~\x80-\xff]*+\r\n){1,64}+)\r\n")
_PASSED = RESPONSE_HEADERS - ALTERED
_DECIDING = ALTERED | {b"transfer-encoding", b"connection"}


def read_usual_answer(octets: bytes) -> bytes | None:
    """The answer that ``octets`` are, as it goes to the phone; None: read it step by step.

    It is a whole 200 with a length, on a connection that stays, with no header that would have to be altered.
    """
    found = _ANSWER.match(octets)
    if found is None:
        return None
    kept = [found[1]]
    framing = b""
    for line in found[2].split(b"\r\n"):
        name = line[: line.find(b":")].lower()
        if name in _PASSED:
            kept.append(line)
        elif name == b"content-length":
            if framing:
                return None
            framing = line
        elif name in _DECIDING and line.lower() != b"connection: keep-alive":
            return None
    end, length = found.end(), framing[len(b"Content-Length: ") :]
    if not length.isdigit() or len(length) > LENGTH_DIGITS or end + int(length) != len(octets):
        return None
    kept += (framing, b"\r\n")
    return b"\r\n".join(kept) + octets[end:]
