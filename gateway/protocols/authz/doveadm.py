"""doveadm's HTTP API (Dovecot's "Doveadm HTTP API"): commands in one JSON list, an answer for each by its tag.

Two commands are needed: ``kick`` ends sessions, ``who`` names those there are. What ``kick`` takes is a *mask*: a name
with wildcards, or a network. So only a name that can be read as neither is asked for, or others would be cut instead.
"""

import base64
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.domain.errors import InvalidValue

TARGET: Final = b"/doveadm/v1"
_WILDCARDS: Final = frozenset("*?\\")
_NETWORK = re.compile(r"[0-9a-fA-Fx:.\[\]]+(?:/[0-9]*)?\Z")
"""Whatever inet_aton(3) or inet_pton(3) could take for an address: 12345 is one, and so is 0x7f.1."""
_NOBODY: Final = 68
"""doveadm's exit code where there is nobody to kick."""
_TEXT_LONGEST: Final = 256


class Connected(NamedTuple):
    """Somebody who has sessions at Dovecot."""

    user: str
    protocol: str
    """imap, pop3, …"""


def authorization(key: str) -> bytes:
    """The header's value for ``doveadm_api_key``."""
    return b"X-Dovecot-API " + base64.b64encode(key.encode())


def exact(user: str) -> str:
    """``user`` as a mask that means nobody else. Raises ``InvalidValue`` where there is none."""
    if not user or not user.isprintable() or _WILDCARDS & set(user):
        raise InvalidValue("the name holds a wildcard, and would mean others too")
    if user.startswith("-"):
        raise InvalidValue("the name would be read as an option")
    if _NETWORK.match(user) and _is_network(user):
        raise InvalidValue("the name would be read as a network address")
    return user


def _is_network(text: str) -> bool:
    """As Dovecot reads one: short forms count, and bits behind a slash."""
    address = text.partition("/")[0].strip("[]")
    if ":" in address:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return False
        return True
    parts = address.split(".")
    return len(parts) <= 4 and all(re.fullmatch(r"[0-9]+|0x[0-9a-fA-F]*", each) for each in parts)


def kicks(users: Iterable[str]) -> bytes:
    """One command for each, tagged by its place."""
    return json.dumps([["kick", {"mask": [user]}, str(place)] for place, user in enumerate(users)]).encode()


def who() -> bytes:
    """Who is connected."""
    return json.dumps([["who", {}, "0"]]).encode()


def kicked(body: bytes, count: int) -> tuple[bool | str, ...]:
    """Of ``count`` kicks in their order: whether somebody was there; a text says why it is not known that it was done.

    Raises ``InvalidValue`` for an answer that cannot be read.
    """
    answers = _by_tag(body)
    return tuple(_kicked(answers.get(str(place))) for place in range(count))


def _kicked(answer: tuple[str, object] | None) -> bool | str:
    if answer is None:
        return "doveadm has not answered every command"
    kind, said = answer
    if kind == "doveadmResponse":
        return True
    code = said.get("exitCode") if isinstance(said, Mapping) else None
    if kind == "error" and code == _NOBODY:
        return False
    return f"doveadm says {kind} {_short(said)}"


def connected(body: bytes) -> tuple[Connected, ...]:
    """What ``who`` says. Raises ``InvalidValue``."""
    kind, said = _by_tag(body).get("0", ("nothing", None))
    if kind != "doveadmResponse" or not isinstance(said, list):
        raise InvalidValue(f"doveadm says {kind} {_short(said)}")
    found = []
    for row in said:
        if isinstance(row, Mapping) and isinstance(row.get("username"), str):
            protocol = row.get("service", row.get("proto", ""))
            found.append(Connected(row["username"], protocol if isinstance(protocol, str) else ""))
    return tuple(found)


def _by_tag(body: bytes) -> dict[str, tuple[str, object]]:
    try:
        said = json.loads(body)
    except ValueError:
        raise InvalidValue("doveadm's answer is no JSON") from None
    if not isinstance(said, list):
        raise InvalidValue("doveadm's answer is no list")
    found: dict[str, tuple[str, object]] = {}
    for each in said:
        if not isinstance(each, Sequence) or isinstance(each, str) or len(each) != 3:
            raise InvalidValue("doveadm's answer has an odd form")
        kind, answer, tag = each
        found[str(tag)] = (str(kind), answer)
    return found


def _short(said: object) -> str:
    return json.dumps(said)[:_TEXT_LONGEST]
