"""URLs in settings, taken apart: what cannot be one is refused here, whatever it is for.

Every message of a ``ValueError`` is the second half of a sentence that names the key.
"""

import re
from urllib.parse import SplitResult, urlsplit

_HOST = re.compile(r"(?:[A-Za-z0-9_.:%-]|[^\x00-\x7f])+")
"""Of any URL: a name, or an address without its brackets. What is beyond ASCII IDNA decides."""


def split_url(value: str, remedy: str) -> SplitResult:
    """The parts of a URL, its host and port checked. ``remedy`` ends the sentence; the value is not repeated."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(f"this is no URL with a port from 0 to 65535: {remedy}") from None
    if not value.isprintable():
        # Some of them are left out above without a word.
        raise ValueError(f"it holds characters that cannot be seen: {remedy}")
    if parts.hostname and not _is_host(parts.hostname):
        raise ValueError(f"its host is no name and no address: {remedy}")
    if "#" in value:
        raise ValueError(f"a # has no place in it (in a password it is %23): {remedy}")
    return parts


def _is_host(text: str) -> bool:
    try:
        # Who looks a name up does this first, and fails with no error of the network's.
        text.encode("idna")
    except UnicodeError:
        return False
    return _HOST.fullmatch(text) is not None


def server_url(value: str, remedy: str) -> SplitResult:
    """``split_url`` for what is connected to."""
    parts = split_url(value, remedy)
    if parts.port == 0:
        raise ValueError(f"nobody listens on port 0: {remedy}")
    return parts
