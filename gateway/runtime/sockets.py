"""Binds every listening socket, in the supervisor, before any child runs.

A part that workers serve gets one socket per worker on the same port (SO_REUSEPORT): the kernel spreads connections
over them, and what is queued at a dead worker's waits there for its successor. Others get one, and so has each path of
a unix socket. Sockets that systemd holds (sd_listen_fds(3)) are taken for the ``listen`` of the same address and shared
by all workers.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.domain.errors import DomainError
from gateway.runtime import unix_sockets

BACKLOG = 4096
FIRST_SYSTEMD_FD = 3
LISTENING_FILE = "listening.json"
"""In ``data_dir``, where the command line finds a gateway on this machine: what ``listening`` says."""
DEFAULT_PORTS = {
    **{"http": 80, "https": 443},
    **{"imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995, "smtp": 587, "smtps": 465},
}
"""Schemes that end with an s begin with TLS (RFC 8314)."""


class CannotListen(DomainError):  # noqa: N818
    """An address cannot be listened on; the text names the setting, the reason and the remedy."""


class PortInUse(CannotListen):
    """Somebody else listens there."""


@dataclass(frozen=True, slots=True)
class BoundSocket:
    """A listening socket and what it is for."""

    part: str
    """The section whose ``listen`` it is: ``http``, ``admin`` …"""
    url: str
    """With the real port where 0 was asked for."""
    socket: socket.socket
    worker: int = 0
    """The worker it belongs to, counted from 1; 0: any."""

    @property
    def secure(self) -> bool:
        """Whether connections begin with TLS."""
        return urlsplit(self.url).scheme.endswith("s")


def bind_all(
    listens: Mapping[str, Sequence[str]],
    workers: int,
    *,
    per_worker: Iterable[str] = ("http",),
    environment: Mapping[str, str] | None = None,
) -> tuple[BoundSocket, ...]:
    """Bind and listen on every URL of every part. Raises ``CannotListen``, with nothing left bound."""
    held = _held_by_systemd(os.environ if environment is None else environment)
    each_their_own = frozenset(per_worker)
    bound: list[BoundSocket] = []
    try:
        _check_distinct(listens)
        for part, urls in listens.items():
            for url in urls:
                bound.extend(_bound(part, url, workers if part in each_their_own else 0, held))
        if held:
            raise CannotListen(
                f"systemd hands over a socket at {_text(held[0].getsockname())}, which no listen names: "
                "write its address into a listen, or remove it from the socket unit"
            )
    except CannotListen:
        close_all(bound)
        for sock in held:
            sock.close()
        raise
    return tuple(bound)


def _check_distinct(listens: Mapping[str, Sequence[str]]) -> None:
    """Two of our own at one address would look like another program's."""
    taken: dict[tuple[str | None, int | str], str] = {}
    for part, urls in listens.items():
        for url in urls:
            place = _place(url)
            other = taken.setdefault(place, f"[{part}] listen")
            if place[1] and other != f"[{part}] listen":
                raise PortInUse(
                    f"[{part}] listen {url}: {other} has the same address: choose another port for one of them"
                )


def _place(url: str) -> tuple[str | None, int | str]:
    parts = urlsplit(url)
    if parts.scheme == unix_sockets.SCHEME:
        return None, parts.path
    return parts.hostname, parts.port if parts.port is not None else DEFAULT_PORTS[parts.scheme]


def close_all(bound: Iterable[BoundSocket]) -> None:
    """Close this process's copies."""
    for each in bound:
        each.socket.close()


def try_listening(part: str, url: str) -> None:
    """Find out whether one URL can be listened on, and leave nothing. Raises ``CannotListen``."""
    bound = bind_all({part: [url]}, 1, environment={})
    close_all(bound)
    for each in bound:
        if urlsplit(each.url).scheme == unix_sockets.SCHEME:
            Path(urlsplit(each.url).path).unlink(missing_ok=True)


def listening(bound: Iterable[BoundSocket]) -> dict[str, list[str]]:
    """The URLs of each part, each once, with their real ports."""
    found: dict[str, list[str]] = {}
    for each in bound:
        urls = found.setdefault(each.part, [])
        if each.url not in urls:
            urls.append(each.url)
    return found


def socket_of(fd: int) -> socket.socket:
    """The socket of a descriptor that another program left to this process. Raises ``OSError``."""
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _bound(part: str, url: str, workers: int, held: list[socket.socket]) -> list[BoundSocket]:
    parts = urlsplit(url)
    if parts.scheme == unix_sockets.SCHEME:
        return [_bound_unix(part, url, held)]
    port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    found: list[BoundSocket] = []
    try:
        for family, address in _addresses(part, url, parts.hostname or "", port):
            inherited = _taken(held, address)
            sockets = [inherited] if inherited else _opened(family, address, max(1, workers))
            real = _url(parts.scheme, sockets[0].getsockname())
            own = workers and not inherited
            found += [BoundSocket(part, real, each, number if own else 0) for number, each in enumerate(sockets, 1)]
    except OSError as error:
        close_all(found)
        raise _sentence(part, url, port, error) from None
    return found


def _bound_unix(part: str, url: str, held: list[socket.socket]) -> BoundSocket:
    """One for all workers: the kernel spreads no connections over several of one path."""
    start = f"[{part}] listen {url}"
    try:
        address = unix_sockets.unix_address(url)
        inherited = next((sock for sock in held if sock.getsockname() == address.path), None)
        if inherited is not None:
            held.remove(inherited)
        sock = inherited or unix_sockets.opened(address, BACKLOG)
    except ValueError as error:
        raise CannotListen(f"{start}: {error}") from None
    except LookupError:
        raise CannotListen(f"{start}: there is no such group: name one that this user belongs to") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"{start}: another program listens there (ss -lx shows which): end it or choose another path"
            ) from None
        raise CannotListen(
            f"{start}: {error.strerror}: choose a path in a directory that this user may write to, "
            "and a group that it belongs to"
        ) from None
    return BoundSocket(part, f"{unix_sockets.SCHEME}://{address.path}", sock)


def _addresses(part: str, url: str, host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotListen(
            f"[{part}] listen {url}: no address is known for {host} ({error.strerror}): write one of this machine"
        ) from None
    return list(dict.fromkeys((answer[0], answer[4]) for answer in answers))


def _opened(family: int, address: tuple[Any, ...], count: int) -> list[socket.socket]:
    """``count`` listening sockets on one address.

    The first is bound alone: with SO_REUSEPORT from the beginning, a second Gatepost of the same user would silently
    share the port. Set after bind and before listen, the option lets the others join.
    """
    opened: list[socket.socket] = []
    try:
        for number in range(count):
            sock = socket.socket(family, socket.SOCK_STREAM)
            opened.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if number:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                sock.bind(opened[0].getsockname())
            else:
                sock.bind(address)
                if count > 1:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for sock in opened:
            sock.listen(BACKLOG)
            sock.setblocking(False)
    except OSError:
        for sock in opened:
            sock.close()
        raise
    return opened


def _sentence(part: str, url: str, port: int, error: OSError) -> CannotListen:
    start = f"[{part}] listen {url}"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"{start}: the port is in use by another program (ss -ltnp 'sport = :{port}' shows which): "
            "end that program or choose another port"
        )
    if error.errno == errno.EACCES:
        return CannotListen(
            f"{start}: this user may not listen on port {port}: choose one from 1024 on, "
            "or allow it (AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return CannotListen(f"{start}: this machine has no such address: use one of its own, or 0.0.0.0 for all")
    return CannotListen(f"{start}: {error.strerror}: choose another address")


def _held_by_systemd(environment: Mapping[str, str], pid: Callable[[], int] = os.getpid) -> list[socket.socket]:
    """The sockets of sd_listen_fds(3), duplicated; none when they are meant for another process."""
    if environment.get("LISTEN_PID") != str(pid()):
        return []
    try:
        fds = range(FIRST_SYSTEMD_FD, FIRST_SYSTEMD_FD + int(environment.get("LISTEN_FDS", "0")))
        held = [socket.socket(fileno=fd) for fd in fds]
    except (ValueError, OSError):
        raise CannotListen(
            "LISTEN_FDS names file descriptors that are no sockets: start Gatepost by the systemd socket unit"
        ) from None
    for sock in held:
        sock.set_inheritable(False)
        sock.setblocking(False)
    return held


def _taken(held: list[socket.socket], address: tuple[Any, ...]) -> socket.socket | None:
    """The socket of that address, removed from ``held``."""
    for sock in held:
        name = sock.getsockname()
        if isinstance(name, tuple) and name[1] == address[1] and _same_host(name[0], address[0]):
            held.remove(sock)
            return sock
    return None


def _same_host(one: str, other: str) -> bool:
    first, second = ipaddress.ip_address(one.split("%")[0]), ipaddress.ip_address(other.split("%")[0])
    # systemd's ListenStream=443 is [::]:443 for both families.
    return first == second or (first.is_unspecified and second.is_unspecified)


def _url(scheme: str, name: tuple[Any, ...]) -> str:
    return f"{scheme}://{_text(name)}"


def _text(name: object) -> str:
    if not isinstance(name, tuple):
        return str(name)
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{host}:{name[1]}"
