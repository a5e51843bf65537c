"""What a target is, and what its check says of one input.

A check takes octets and answers with ``ACCEPTED``, with ``REFUSED`` (by us and by the peers), or with a short reason
where only we refuse. Two readings of the same octets raise ``Difference``; any other exception is a finding as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

ACCEPTED = "accepted"
REFUSED = "refused"


class Difference(AssertionError):  # noqa: N818
    """Two readings of one input."""


def same(what: str, ours: object, theirs: object) -> None:
    """Raise ``Difference`` unless both are equal."""
    if ours != theirs:
        raise Difference(f"{what}: we have {ours!r:.300}, the other has {theirs!r:.300}")


def hold(what: str, stated: object) -> None:
    """Raise ``Difference`` unless ``stated`` is true."""
    if not stated:
        raise Difference(what)


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of ours and what it is compared with."""

    name: str
    compares: str
    """In a few words, for the table and ``--help``."""
    check: Callable[[bytes], str]
    grow: Callable[[Random], bytes]
    """A new input from a grammar: mostly right, with some things that are otherwise."""
    words: tuple[bytes, ...] = ()
    """Octets that mean something here, for the mutations."""
    longest: int = 4096
    """Octets of an input."""
