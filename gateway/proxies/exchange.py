"""What answers one request, as its client connection sees it; and what ends together with that."""

from typing import Protocol


class Belonging(Protocol):
    """What belongs to one client's connection."""

    def client_gone(self) -> None:
        """That connection has ended."""
        ...


class Exchange(Protocol):
    """Answers one request."""

    def begin(self) -> None:
        """Start; the head is known, the body comes by ``body``."""
        ...

    def body(self, octets: bytes, *, last: bool) -> None:
        """A piece of the request's body."""
        ...

    def client_gone(self) -> None:
        """Nobody waits for the answer any more."""
        ...

    def client_writable(self, *, writable: bool) -> None:
        """Whether the client takes more of the answer now."""
        ...

    def out_of_time(self) -> None:
        """The connection's deadline has passed."""
        ...

    def drain(self) -> None:
        """The gateway stops: end what merely waits."""
        ...
