"""Listening unix sockets: ``unix:///path?mode=0660&group=NAME``. Whoever may connect has shown by that who it is.

A file that is left of an earlier run is replaced; one that somebody listens on is not. It stays when we end: whoever
connects then is refused, as with a port that nobody listens on.
"""

import errno
import os
import re
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SCHEME = "unix"
MODE = 0o660
PATH_LONGEST = 100
"""Octets; the kernel takes 107 (unix(7))."""
_MODE = re.compile(r"0?[0-7]{3}\Z")
_GROUP = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """Where such a socket is, and who may connect."""

    path: str
    mode: int = MODE
    group: str = ""
    """Empty: that of the process or the directory."""


def unix_address(url: str) -> UnixAddress:
    """What a URL says. Raises ``ValueError`` with what it should be like."""
    remedy = "write it like unix:///run/gatepost/authz.sock?mode=0660&group=www-data"
    parts = urlsplit(url)
    said = parse_qs(parts.query, keep_blank_values=True)
    mode, group = said.pop("mode", ["0660"]), said.pop("group", [""])
    if parts.scheme != SCHEME or parts.netloc or not parts.path.startswith("/") or parts.fragment or said:
        raise ValueError(f"this is no unix socket: {remedy}")
    if len(os.fsencode(parts.path)) > PATH_LONGEST or "\0" in parts.path:
        raise ValueError(f"the path of a unix socket has {PATH_LONGEST} octets at most: {remedy}")
    if len(mode) != 1 or not _MODE.match(mode[0]) or len(group) != 1 or (group[0] and not _GROUP.match(group[0])):
        raise ValueError(f"this is no mode or group: {remedy}")
    return UnixAddress(parts.path, int(mode[0], 8), group[0])


def opened(address: UnixAddress, backlog: int) -> socket.socket:
    """A listening socket. Raises ``OSError``, and ``LookupError`` for a group that there is not."""
    _clear(address.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Nobody connects between bind and chmod: until listen there is nothing to connect to.
    try:
        sock.bind(address.path)
        if address.group:
            shutil.chown(address.path, group=address.group)
        Path(address.path).chmod(address.mode)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _clear(path: str) -> None:
    """Remove what an earlier run left. Raises ``OSError`` if somebody listens there, or it is no socket."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(1.0)
        try:
            asked.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
