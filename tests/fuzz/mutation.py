"""Inputs from inputs: small seeded changes, mostly with octets that mean something to the target."""

from collections.abc import Callable, Sequence
from random import Random

_ODD = (b"\r", b"\n", b"\r\n", b"\0", b"\t", b" ", b"  ", b"\x0b", b"\x7f", b"\x80", b"\xff", b"\xc3\xbc", b"%", b"%00")
_NUMBERS = (b"0", b"-1", b"+1", b"00", b"1_0", b"0x1", b"1.0", b"255", b"256", b"65536", b"4294967296", b"9" * 20)


class Mutations:
    """Draws from a pool of inputs and changes what it drew; the same seed gives the same sequence."""

    def __init__(self, random: Random, pool: Sequence[bytes], words: Sequence[bytes], longest: int) -> None:
        self._random = random
        self.pool = list(pool)
        self._words = [*words, *_ODD, *_NUMBERS]
        self._longest = longest
        self._ways: list[Callable[[bytes, int], bytes]] = [
            *(self._put, self._put, self._overwritten, self._flipped, self._any, self._without),
            *(self._twice, self._crossed, self._swapped),
        ]

    def draw(self) -> bytes:
        """A changed input of the pool."""
        return self.changed(self._random.choice(self.pool))

    def changed(self, octets: bytes) -> bytes:
        """``octets`` with one to five changes."""
        random = self._random
        for _ in range(1 + int(random.random() ** 2 * 5)):
            octets = random.choice(self._ways)(octets, int(random.random() * (len(octets) + 1)))
        return octets[: self._longest]

    def _put(self, octets: bytes, at: int) -> bytes:
        return octets[:at] + self._random.choice(self._words) + octets[at:]

    def _overwritten(self, octets: bytes, at: int) -> bytes:
        word = self._random.choice(self._words)
        return octets[:at] + word + octets[at + len(word) :]

    def _flipped(self, octets: bytes, at: int) -> bytes:
        if at >= len(octets):
            return octets
        return octets[:at] + bytes((octets[at] ^ 1 << int(self._random.random() * 8),)) + octets[at + 1 :]

    def _any(self, octets: bytes, at: int) -> bytes:
        return octets[:at] + bytes((int(self._random.random() * 256),)) + octets[at + 1 :]

    def _without(self, octets: bytes, at: int) -> bytes:
        return octets[:at] + octets[at + self._length() :]

    def _twice(self, octets: bytes, at: int) -> bytes:
        piece = octets[at : at + self._length()]
        times = 2 if self._random.random() < 0.95 else 200
        return octets[:at] + piece * times + octets[at + len(piece) :]

    def _crossed(self, octets: bytes, at: int) -> bytes:
        other = self._random.choice(self.pool)
        begin = int(self._random.random() * (len(other) + 1))
        return octets[:at] + other[begin : begin + 2 * self._length()] + octets[at:]

    def _swapped(self, octets: bytes, at: int) -> bytes:
        """Two lines, or what stands between other separators, change places."""
        separator = self._random.choice((b"\r\n", b"\r\n", b"&", b",", b" "))
        pieces = octets.split(separator)
        one, other = (int(self._random.random() * len(pieces)) for _ in range(2))
        pieces[one], pieces[other] = pieces[other], pieces[one]
        return separator.join(pieces)

    def _length(self) -> int:
        """Mostly short, at times long."""
        return 1 + int(self._random.random() ** 4 * 60)


def smaller(octets: bytes, fails: Callable[[bytes], bool], tries: int = 4000) -> bytes:
    """A shorter input for which ``fails`` still holds: pieces are left out as long as that goes well."""
    piece = max(1, len(octets) // 2)
    while piece and tries > 0:
        at, before = 0, octets
        while at < len(octets) and tries > 0:
            tries -= 1
            shorter = octets[:at] + octets[at + piece :]
            if fails(shorter):
                octets = shorter
            else:
                at += piece
        if octets == before:
            piece //= 2
    return octets
