"""Accepts connections from balancers that say for whom they speak (the PROXY protocol), and from anybody else.

Which addresses are balancers is told; from these each connection must begin with a header, from others none is looked
for, and one that comes all the same is the spoken protocol's to refuse. The header is read from the socket itself,
octet for octet as long as it is and within a bounded time, before there is a transport: what follows it, a ClientHello
for instance, is not touched. Meanwhile the connection counts with those whose handshake is to come.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence

from gateway.network.accepting import Acceptor, Door, shake
from gateway.network.addresses import read_address
from gateway.network.tls import ServerTls
from gateway.protocols.proxy_protocol import HEADER_LONGEST, BadHeader, Header, read

HEADER_SECONDS = 3.0
"""A balancer writes the header with its first packet."""


class Balancers:
    """The networks of those that speak for others."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: object) -> bool:
        found = read_address(address.partition("%")[0]) if isinstance(address, str) else None
        return found is not None and any(found in network for network in self._networks)


class ProxiedAcceptor(Acceptor):
    """One listening socket, with TLS or without."""

    def __init__(
        self,
        sock: socket.socket,
        tls: ServerTls | None,
        protocol: Callable[[Header | None], asyncio.Protocol],
        door: Door,
        handshake_seconds: float,
        balancers: Balancers,
        refused: Callable[[str, str], None],
    ) -> None:
        """``protocol`` is given the header of a balancer. ``refused``: of which address, and why in one word."""
        super().__init__(sock)
        self._tls = tls
        self._protocol = protocol
        self._door = door
        self._handshake_seconds = handshake_seconds
        self._balancers = balancers
        self._refused = refused

    def _take(self, accepted: socket.socket, address: str) -> None:
        accepted.setblocking(False)
        proxied = address in self._balancers
        if self._tls is None and not proxied:
            # Whether there is room is asked when it is known, so that one too many can be told.
            self._begin(self._connect(accepted, None))
        elif not self._door.arrived(address):
            accepted.close()
        elif proxied:
            self._begin(self._introduced(accepted, address))
        else:
            self._begin(self._shaken(accepted, address, None))

    async def _introduced(self, accepted: socket.socket, balancer: str) -> None:
        """Who it is comes first; then as anybody else."""
        try:
            async with asyncio.timeout(HEADER_SECONDS):
                header = await read_header(accepted)
        except (OSError, TimeoutError, BadHeader, asyncio.CancelledError) as error:
            accepted.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            self._refused(balancer, _word_for(error))
            return
        finally:
            self._door.shaken(balancer)
        address = balancer if header.source is None else header.source[0]
        if self._tls is None:
            await self._connect(accepted, header)
        elif self._door.arrived(address):
            await self._shaken(accepted, address, header)
        else:
            accepted.close()

    async def _connect(self, accepted: socket.socket, header: Header | None) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._protocol(header), accepted)
        except OSError:
            accepted.close()
        except BaseException:
            accepted.close()
            raise

    async def _shaken(self, accepted: socket.socket, address: str, header: Header | None) -> None:
        assert self._tls is not None
        await shake(accepted, address, self._tls, lambda: self._protocol(header), self._door, self._handshake_seconds)


def _word_for(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    return "malformed" if isinstance(error, BadHeader) else "gone"


async def read_header(accepted: socket.socket) -> Header:
    """Take the header off a socket that does not block, and nothing behind it. Raises ``BadHeader``, ``OSError``."""
    begun = b""
    while True:
        await _readable(accepted)
        try:
            there = accepted.recv(HEADER_LONGEST, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if not there:
            raise ConnectionAbortedError("it went away before its header")
        header = read(begun + there)
        # Without a whole header all that is there belongs to it.
        begun += accepted.recv(len(there) if header is None else header.size - len(begun))
        if header is not None:
            return header


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock.fileno(), _note, seen)
    try:
        await seen
    finally:
        loop.remove_reader(sock.fileno())


def _note(seen: "asyncio.Future[None]") -> None:
    if not seen.done():
        seen.set_result(None)
