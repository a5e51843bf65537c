"""What is offered to a client: before login a list of ours, after it the mail server's without what nobody can watch.

Before login nothing is offered that would hold behind it, too, and that the mail server has not.

After login the list is the server's own, less what would lead round the gateway: another login in the same
connection, a compressed stream, references to other servers, URLs that others fetch later. This is courtesy towards
clients; a server that would let a client do these things all the same is refused when it is set up.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from gateway.protocols.login import Offer
from gateway.protocols.sasl import Mechanism

_HIDDEN: Final = frozenset(
    (
        b"STARTTLS",
        b"LOGINDISABLED",
        b"LOGIN-REFERRALS",  # RFC 2221
        b"MAILBOX-REFERRALS",  # RFC 2193
        b"UNAUTHENTICATE",  # RFC 8437
        b"URLAUTH",  # RFC 4467
        b"URL-PARTIAL",
    )
)
_HIDDEN_FAMILIES: Final = (b"AUTH=", b"COMPRESS=", b"URLAUTH=")
UNWATCHABLE: Final = frozenset((b"UNAUTHENTICATE", b"COMPRESS=DEFLATE"))
"""What a server should not have for clients that come through a gateway; it is seen when one has logged in."""

_CODE = re.compile(rb"[^ ]++ (?i:OK|NO|BAD|BYE|PREAUTH) \[(?i:CAPABILITY)((?: ++[!-\\^-~]++)++) *+\]")
_UNTAGGED = re.compile(rb"\* (?i:CAPABILITY)((?: ++[!-~]++)++) *+\Z")

_LISTS_MOST: Final = 32
"""Lists that are remembered; a server says the same one at each login."""


@lru_cache(_LISTS_MOST)
def before_login(offer: Offer) -> bytes:
    """The list that a client is given before login, in one line."""
    words = [b"IMAP4rev1", b"SASL-IR", b"ID"]
    if offer.literals_unasked:
        # Taken here in any case. But a client may not ask again behind the login, and a mail server that has it not
        # would run the lines of a message as commands.
        words.append(b"LITERAL+")
    if offer.starttls:
        words.append(b"STARTTLS")
    if not offer.password:
        words.append(b"LOGINDISABLED")
    words += [b"AUTH=%b" % each.value.encode() for each in offer.mechanisms]
    return b" ".join(words)


def watchable(words: Iterable[bytes]) -> list[bytes]:
    """A mail server's list without what a client behind the gateway is not offered, in the same order."""
    return [word for word in words if (name := word.upper()) not in _HIDDEN and not name.startswith(_HIDDEN_FAMILIES)]


def listed(line: bytes) -> frozenset[bytes] | None:
    """The capabilities (in upper case) that a line of a server holds, in a code or untagged; None: it holds none."""
    found = _UNTAGGED.match(line) or _CODE.match(line)
    return None if found is None else _words(found[1])


@lru_cache(_LISTS_MOST)
def _words(octets: bytes) -> frozenset[bytes]:
    return frozenset(octets.upper().split())


def edited(line: bytes) -> bytes:
    """A server's line with its list ``watchable``; a line without a list as it is."""
    found = _UNTAGGED.match(line) or _CODE.match(line)
    if found is None:
        return line
    return line[: found.start(1)] + _watchable(found[1]) + line[found.end(1) :]


@lru_cache(_LISTS_MOST)
def _watchable(octets: bytes) -> bytes:
    return b"".join([b" " + word for word in watchable(octets.split())]) or b" IMAP4rev1"


def mechanisms(capabilities: frozenset[bytes]) -> tuple[Mechanism, ...]:
    """What a client can be offered where the mail server lists these: passwords by both names, tokens as it takes them.

    A password is shown to the server by AUTHENTICATE PLAIN or by the LOGIN command, whichever it has.
    """
    by_password = b"AUTH=PLAIN" in capabilities or b"LOGINDISABLED" not in capabilities
    return tuple(
        each
        for each in Mechanism
        if (b"AUTH=%b" % each.value.encode() in capabilities if each.by_token else by_password)
    )
