"""An ActiveSync request as it goes to the mail server: rebuilt from what was understood."""

from gateway.protocols.activesync.commands import PARKING, Command
from gateway.protocols.activesync.identify import Asked
from gateway.protocols.activesync.versions import Version
from gateway.protocols.http.request_head import RequestHead
from gateway.proxies.forwarding import written_anew

_TARGET = b"/Microsoft-Server-ActiveSync"


def forwarded(asked: Asked, head: RequestHead, body: bytes, *, complete: bool) -> tuple[bytes, bool]:
    """The head with what there is of the body, and whether more of it goes in chunks.

    OPTIONS has no body here (see ``body_agrees``).
    """
    assert asked.fields is not None
    target = _TARGET if head.query is None else _TARGET + b"?" + asked.query.render()
    return written_anew(head, target, asked.fields, body, complete=complete)


def may_wait(asked: Asked) -> bool:
    """Whether the mail server may keep the request waiting: a Ping, and a Sync from 12.1 on."""
    if asked.query.command not in PARKING:
        return False
    return asked.query.command is Command.PING or (asked.version is not None and asked.version >= Version.V12_1)
