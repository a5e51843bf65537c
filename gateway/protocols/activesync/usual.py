"""Request and answer as phones and mail servers write them, each recognised by one expression: the fast way.

Whatever is recognised here, ``request_head``, ``query`` and ``response_head`` would read alike, only in several steps;
whatever is not (another spelling of a name, a header not listed, a body that is not all here) is read by those. So this
file may be left out without changing a single answer.
"""

import binascii
import re
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from gateway.domain.identity import canonical_device_id
from gateway.protocols.activesync.commands import CODES, ROOTS, BodyKind, Command, body_kind
from gateway.protocols.activesync.headers import ALTERED, RESPONSE_HEADERS
from gateway.protocols.activesync.query import EasQuery
from gateway.protocols.activesync.requests import Credentials
from gateway.protocols.activesync.versions import HEADER_VALUES, Version
from gateway.protocols.http.response_head import HEAD_LONGEST, LENGTH_DIGITS

_TEXT = rb"[!-~][ -~]*+"


def _once(group: int, name: bytes, value: bytes) -> bytes:
    """A header that decides something stands once: fails where its group (its place in the expression) is set."""
    return rb"%b: (?(%d)(?!))(%b)\r\n|" % (name, group, value)


_VERSIONS = b"|".join(re.escape(spelled) for spelled in HEADER_VALUES)

# Possessive throughout: no request makes the expression go back over a line.
_REQUEST = re.compile(
    rb"POST /Microsoft-Server-ActiveSync\?("
    rb"(?:Cmd=([A-Za-z]{4,17}+)&)?+"
    rb"(User=((?:[A-Za-z0-9._@-]|%5[Cc]|%40){1,256}+)&DeviceId=([A-Za-z0-9]{1,32}+)&DeviceType=([A-Za-z0-9._-]{1,64}+))"
    rb"(?:&Cmd=([A-Za-z]{4,17}+))?+) HTTP/1\.1\r\n"
    rb"(?:"
    + _once(8, b"Authorization", rb"Basic ([A-Za-z0-9+/]++={0,2}+)")
    + _once(10, b"Host", rb"[A-Za-z0-9.-]{1,253}+(?::[0-9]{1,5}+)?+")
    + _once(11, b"Content-Length", rb"[1-9][0-9]{0,6}+")
    + _once(12, b"MS-ASProtocolVersion", _VERSIONS)
    + _once(13, b"User-Agent", _TEXT)
    + _once(14, b"Content-Type", _TEXT)
    + _once(15, b"X-MS-PolicyKey", rb"[0-9]{1,10}+")
    + _once(16, b"Connection", rb"[Kk]eep-[Aa]live")
    + rb"(?:Accept(?:-Language|-Encoding)?+|Cookie): "
    + _TEXT
    + rb"\r\n)++\r\n"
)
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


_MAILING = frozenset((Command.SEND_MAIL, Command.SMART_FORWARD, Command.SMART_REPLY))
"""Their body is a mail before 14.0."""
_COMMANDS: dict[bytes | None, tuple[Command, bytes, bool]] = {
    command.value.encode(): (command, beginning, command in _MAILING)
    for command in CODES.values()
    # Ping ends another Ping, the other two say what the phone is: each of them needs more than to be passed on.
    if command not in (Command.PING, Command.SETTINGS, Command.PROVISION)
    and (beginning := _beginning(command)) is not None
}


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


Recognised: TypeAlias = tuple[re.Match[bytes], Command, bytes, bytes]
"""A whole request of the usual form, before anybody has looked at who is asking: the match, the command; User, DeviceId
and DeviceType as they stand in the query; name and password in base64."""


def recognise(octets: bytes) -> Recognised | None:
    """Whether ``octets`` are one request of the usual form, no more and no less. Never raises.

    What is left to see is whether the credentials are those of the user that the query names (``usual_request``).
    """
    found = _REQUEST.match(octets) if len(octets) <= _LONGEST else None
    if found is None:
        return None
    first, who, last, secret, host, length = found.group(2, 3, 7, 9, 10, 11)
    known = _COMMANDS.get(first or last)
    end = found.end()
    if known is None or (first and last) or host is None or not length or end + int(length) != len(octets):
        return None
    command, beginning, mails = known
    if secret is None or not octets.startswith(beginning, end):
        return None
    if mails and HEADER_VALUES.get(found[12], Version.V2_5) < Version.V14_0:
        return None
    return found, command, who, secret


def usual_request(recognised: Recognised) -> UsualRequest | None:
    """All of a request; None: its credentials are not those of the user that its query names."""
    found, command, _, secret = recognised
    query, user, device_id, device_type, authorization, host, version, agent = found.group(1, 4, 5, 6, 8, 10, 12, 13)
    if b"%" in user:
        user = unquote_to_bytes(user)
    if not _names(secret, user):
        return None
    return UsualRequest(
        command,
        user.decode("ascii"),
        canonical_device_id(device_id),
        device_id,
        device_type.decode("ascii"),
        HEADER_VALUES.get(version),
        authorization,
        host,
        agent,
        query,
    )


def read_usual(octets: bytes) -> UsualRequest | None:
    """The request that ``octets`` are; None: read it step by step. Never raises."""
    recognised = recognise(octets)
    return None if recognised is None else usual_request(recognised)


def forwarded_usual(found: re.Match[bytes], added: bytes) -> bytes:
    """The octets for the mail server: as received, with a line added at the end of the head.

    Nothing is in them that was not understood. A ``Connection: keep-alive`` says of the next hop what it said of this
    one. ``added`` ends with the head's last, empty line.
    """
    octets, end = found.string, found.end()
    return octets[: end - 2] + added + octets[end:]


def _names(secret: bytes, user: bytes) -> bool:
    """Whether name and password in base64 are of that very user."""
    try:
        return binascii.a2b_base64(secret, strict_mode=True).startswith(user + b":")
    except ValueError:
        return False


_STATUS = rb"HTTP/1\.1 200 [ -~]*+\r\n"
_VALUE = rb"[!-~\x80-\xff][ -~\x80-\xff]*+"
_ANSWER = re.compile(rb"(" + _STATUS + rb")((?:[A-Za-z0-9-]++: " + _VALUE + rb"\r\n){1,64}+)\r\n")
_PASSED = RESPONSE_HEADERS - ALTERED
_DECIDING = ALTERED | {b"transfer-encoding", b"connection"}
_LENGTH = b"content-length"


def read_usual_answer(octets: bytes) -> bytes | None:
    """The answer that ``octets`` are, as it goes to the phone; None: read it step by step.

    It is a whole 200 with a length, on a connection that stays, with no header that would have to be altered.
    """
    found = _ANSWER.match(octets)
    if found is None or found.end() > HEAD_LONGEST:
        return None
    kept = [found[1]]
    framing = b""
    for line in found[2].splitlines(keepends=True):
        name = line[: line.find(b":")].lower()
        if name in _PASSED:
            kept.append(line)
        elif name == _LENGTH:
            if framing:
                return None
            framing = line
        elif name in _DECIDING and line.lower() != b"connection: keep-alive\r\n":
            return None
    end, length = found.end(), framing[len(b"Content-Length: ") : -2]
    if not length.isdigit() or len(length) > LENGTH_DIGITS or end + int(length) != len(octets):
        return None
    kept += (framing, b"\r\n", octets[end:])
    return b"".join(kept)


LEARNT_AFTER = 20
"""Making an expression takes as long as some hundred answers, and a server may write another order each time."""
FORMS = 6


class AnswerForms:
    """Reads answers as ``read_usual_answer`` does, by one expression for each order of headers that comes often.

    A mail server writes its headers in few orders. Such an expression takes out what passes in as many pieces as there
    are, and recognises nothing that ``read_usual_answer`` would not.
    """

    def __init__(self) -> None:
        self._forms: list[tuple[re.Pattern[bytes], int]] = []
        self._unknown = 0

    def read(self, octets: bytes) -> bytes | None:
        """As ``read_usual_answer``."""
        for form, framing in self._forms:
            found = form.match(octets)
            if found is not None:
                pieces, end = found.groups(), found.end()
                if end + int(pieces[framing + 1]) != len(octets) or end > HEAD_LONGEST:
                    return None
                kept = (*pieces[:framing], *pieces[framing + 2 :], pieces[framing], b"\r\n", octets[end:])
                return b"".join(kept)
        answer = read_usual_answer(octets)
        if answer is not None:
            self._unknown += 1
            if self._unknown >= LEARNT_AFTER:
                self._unknown = 0
                self._forms = [_form_of(octets), *self._forms[: FORMS - 1]]
        return answer


def _form_of(octets: bytes) -> tuple[re.Pattern[bytes], int]:
    """The expression for answers with the headers of this one, which is usual.

    Its groups are what passes, each with all that passes next to it, and in between, from the number returned on, the
    line of the length and the length.
    """
    expression, groups, framing, passing = b"(" + _STATUS, 1, 0, True
    for line in octets[: octets.index(b"\r\n\r\n")].split(b"\r\n")[1:]:
        spelled = line[: line.index(b":")]
        name, written = spelled.lower(), re.escape(spelled) + b": "
        if passing is not (name in _PASSED):
            passing = not passing
            expression += b"(" if passing else b")"
            groups += passing
        if name == _LENGTH:
            framing = groups
            groups += 2
            expression += rb"(%b([0-9]{1,%d}+)\r\n)" % (written, LENGTH_DIGITS)
        else:
            expression += written + (rb"[Kk]eep-[Aa]live" if name == b"connection" else _VALUE) + rb"\r\n"
    return re.compile(expression + (b")" if passing else b"") + rb"\r\n"), framing
