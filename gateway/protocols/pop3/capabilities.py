"""What CAPA says before login: ours to a client, a mail server's as it is understood (RFC 2449, RFC 5034)."""

from typing import Final

from gateway.protocols.login import Offer
from gateway.protocols.sasl import Mechanism

WITHOUT_CAPA: Final = frozenset((b"USER",))
"""What a server is taken for that does not know CAPA."""


def before_login(offer: Offer) -> bytes:
    """The whole answer to CAPA. Never APOP or anything else that carries no password to show to the server."""
    lines = [b"+OK Capability list follows", b"CAPA", b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING"]
    if offer.starttls:
        lines.append(b"STLS")
    if offer.password:
        lines.append(b"USER")
    if offer.mechanisms:
        lines.append(b"SASL " + b" ".join([each.value.encode() for each in offer.mechanisms]))
    return b"\r\n".join([*lines, b".", b""])


def mechanism_list(offer: Offer) -> bytes:
    """The whole answer to AUTH without a name (RFC 1734's way to ask, which clients still use)."""
    return b"\r\n".join([b"+OK", *(each.value.encode() for each in offer.mechanisms), b".", b""])


def understood(line: bytes) -> list[bytes]:
    """What one line of a server's answer to CAPA says, in upper case; mechanisms as ``AUTH=PLAIN``."""
    words = line.upper().split()
    if words and words[0] == b"SASL":
        return [b"AUTH=" + word for word in words[1:]]
    return words[:1]


def mechanisms(capabilities: frozenset[bytes]) -> tuple[Mechanism, ...]:
    """What a client can be offered where the mail server says this."""
    by_password = b"AUTH=PLAIN" in capabilities or b"USER" in capabilities
    tokens = frozenset(each for each in Mechanism if each.by_token and b"AUTH=%b" % each.value.encode() in capabilities)
    return tuple(each for each in Mechanism if each in tokens or (by_password and not each.by_token))
