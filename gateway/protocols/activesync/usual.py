"""The request as phones write it, recognised by one expression: the fast way in.

Whatever it recognises, ``request_head`` and ``query`` would read alike, only in several steps; whatever it does not
recognise (another spelling of a name, a header not listed, a body that is not all here) is read by those. So this file
may be left out without changing a single answer.
"""

import binascii
import re
from typing import NamedTuple

from gateway.domain.identity import canonical_device_id
from gateway.protocols.activesync.commands import CODES
from gateway.protocols.activesync.query import EasQuery
from gateway.protocols.activesync.requests import Credentials
from gateway.protocols.activesync.versions import HEADER_VALUES, Version

_TEXT = rb"[!-~][ -~]*+"


def _once(group: int, name: bytes, value: bytes) -> bytes:
    """A header that decides something stands once: fails where its group (its place in the expression) is set."""
    return rb"%b: (?(%d)(?!))(%b)\r\n|" % (name, group, value)


# Possessive throughout: no request makes the expression go back over a line.
_USUAL = re.compile(
    rb"POST /Microsoft-Server-ActiveSync\?("
    rb"(?:Cmd=([A-Za-z]{4,17}+)&)?+User=([A-Za-z0-9._@-]{1,256}+)&DeviceId=([A-Za-z0-9]{1,32}+)"
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
_COMMANDS = {command.value.encode(): command for command in CODES.values()}


class UsualRequest(NamedTuple):
    """A whole request: a POST with a plain query, name and password, and all of its body."""

    query: EasQuery
    version: Version | None
    credentials: Credentials
    host: bytes
    user_agent: bytes
    head: bytes
    """As received, without the hop-by-hop ``Connection`` and without the empty line at its end."""
    body: bytes


def read_usual(octets: bytes) -> UsualRequest | None:
    """The request that ``octets`` are, no more and no less; None: read it step by step. Never raises."""
    found = _USUAL.match(octets)
    if found is None:
        return None
    query, first, user, device_id, device_type, last, authorization, secret, *rest = found.groups()
    host, length, version, agent = rest[:4]
    command = _COMMANDS.get(first or last)
    end = found.end()
    if command is None or (first and last) or host is None or secret is None or end + int(length or 0) != len(octets):
        return None
    credentials = _credentials(authorization, secret)
    known_version = HEADER_VALUES.get(version)
    if credentials is None or (version is not None and known_version is None):
        return None
    asked = EasQuery(
        command,
        user.decode("ascii"),
        canonical_device_id(device_id),
        device_id,
        device_type.decode("ascii"),
        received=query,
    )
    head = octets[: end - 2]
    begins, ends = found.span(_CONNECTION)
    if begins >= 0:
        head = octets[: begins - len(b"Connection: ")] + octets[ends + 2 : end - 2]
    return UsualRequest(asked, known_version, credentials, host, agent or b"", head, octets[end:])


def _credentials(authorization: bytes, secret: bytes) -> Credentials | None:
    """As ``requests.read_authorization`` reads them, where name and password are ASCII."""
    try:
        user, colon, _ = binascii.a2b_base64(secret, strict_mode=True).partition(b":")
        name = user.decode("ascii")
    except ValueError:
        return None
    return Credentials("basic", name, authorization) if colon and name and name.isprintable() else None
