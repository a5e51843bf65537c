"""Where a COPY or MOVE leads (RFC 4918 §10.3): to this very host, and to a place of the same rule."""

import re

from gateway.domain.errors import InvalidValue
from gateway.protocols.webmail.paths import Places, Rule

_ABSOLUTE = re.compile(rb"(https?)://([^/?#@\\]{1,300})(/[^?#]*)\Z", re.IGNORECASE)
_PORTS = {b"http": b":80", b"https": b":443"}


def check_destination(destination: bytes, host: bytes, places: Places) -> None:
    """Raise ``InvalidValue`` if a client is to be led anywhere else; ``host``: as the request has it."""
    path = destination
    if not destination.startswith(b"/"):
        found = _ABSOLUTE.match(destination)
        if found is None:
            raise InvalidValue("the Destination is no address of this server")
        port = _PORTS[found[1].lower()]
        if found[2].lower().removesuffix(port) != host.lower().removesuffix(port):
            raise InvalidValue("the Destination is on another server")
        path = found[3]
    if places.of(path) is not Rule.DAV:
        raise InvalidValue("the Destination is no calendar or address book")
