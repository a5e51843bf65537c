"""An HTTP answer as a value, made by a protocol and written by whichever proxy asked for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """Status line, headers and whole body.

    Neither hop-by-hop headers nor ``Content-Length`` or ``Date`` are in ``headers``: those are the writer's.
    """

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
