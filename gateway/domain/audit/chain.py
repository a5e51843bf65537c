"""How the entries hang together: each is chained to the one before it, and all are leaves of a Merkle tree.

``chain`` finds the first bad entry; the tree's root is what a checkpoint signs, so that one entry can be proved to be
under a signature without all the others, and old entries can be dropped. The tree is that of RFC 9162 2.1.1. Only its
frontier is kept: the roots of the largest whole subtrees from the left, at most 64.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

_sha256 = hashlib.sha256


def leaf_of(entry: bytes) -> bytes:
    """The hash of an entry as a leaf."""
    return _sha256(b"\x00" + entry).digest()


def beginning_of(origin: str) -> bytes:
    """The chain before the first entry of a log."""
    return _sha256(b"gatepost audit log\n" + origin.encode()).digest()


def chained(before: bytes, leaf: bytes) -> bytes:
    """The chain with one more leaf."""
    return _sha256(before + leaf).digest()


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Where a log stands."""

    origin: str
    """The log's name; empty: nothing was ever written."""
    size: int
    """The number of the newest entry."""
    chain: bytes
    frontier: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The root of the tree over all entries up to ``size``."""
        return root_of(self.frontier)


class GrowingLog:
    """A head that entries are added to."""

    __slots__ = ("_frontier", "chain", "origin", "size")

    def __init__(self, head: AuditHead) -> None:
        self.origin = head.origin
        self.size = head.size
        self.chain = head.chain
        self._frontier = list(head.frontier)

    def add(self, entry: bytes) -> bytes:
        """One more entry; its leaf."""
        leaf = leaf_of(entry)
        self.chain = chained(self.chain, leaf)
        self.add_leaf(leaf)
        return leaf

    def add_leaf(self, leaf: bytes) -> None:
        """One more leaf of the tree; ``chain`` is the caller's."""
        frontier, size = self._frontier, self.size
        while size & 1:
            leaf = _sha256(b"\x01" + frontier.pop() + leaf).digest()
            size >>= 1
        frontier.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        """The root of the tree now."""
        return root_of(self._frontier)

    def head(self) -> AuditHead:
        """Where it stands now."""
        return AuditHead(self.origin, self.size, self.chain, tuple(self._frontier))


def root_of(frontier: Sequence[bytes]) -> bytes:
    """The root over the subtrees of a frontier; of an empty tree the hash of nothing."""
    if not frontier:
        return _sha256(b"").digest()
    root = frontier[-1]
    for left in reversed(frontier[:-1]):
        root = _sha256(b"\x01" + left + root).digest()
    return root


def head_before(origin: str) -> AuditHead:
    """A log without an entry."""
    return AuditHead(origin, 0, beginning_of(origin))
