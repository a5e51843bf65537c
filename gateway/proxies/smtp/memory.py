"""How much the messages that are under way may hold in this process, all together.

Taken before a client is told to send (354), because afterwards there is no way to say no but to end the session. A
message passes through in pieces: whatever its size, it holds no more than ``HELD_BYTES``.
"""

HELD_BYTES = 640 << 10
"""Of one message at most: 64 KiB and a read of the loop (256 KiB) from the client, as much on its way to the server."""


class Memory:
    """The bound; one per front."""

    __slots__ = ("_most", "taken")

    def __init__(self, most: int) -> None:
        self._most = max(most, HELD_BYTES)
        self.taken = 0

    def take(self) -> bool:
        """Room for one more message; False: there is none."""
        if self.taken + HELD_BYTES > self._most:
            return False
        self.taken += HELD_BYTES
        return True

    def give_back(self) -> None:
        """A message is through."""
        self.taken -= HELD_BYTES
