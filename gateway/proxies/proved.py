"""Which credentials a mail server has accepted lately, by keyed digest; nothing of a password is kept.

Whoever guesses at an account uses up the attempts that may be made for it in a minute (``attempts``). Credentials that
were accepted within the last day are tried all the same, so nobody who guesses keeps the user with the right password
out. A mail program opens several connections at once: the first one proves, and the others wait for it, or each would
count as an attempt that may fail.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable

REMEMBERED_SECONDS = 86_400.0
REMEMBERED_MOST = 200_000
TURN_SECONDS = 60.0
"""How long a login waits for others with the same credentials; then it is put off."""


class Proved:
    """One per front."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._key = secrets.token_bytes(32)
        self._until: dict[int, int] = {}
        """In whole seconds."""
        self._under_way: dict[int, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        """Credentials that are remembered."""
        return len(self._until)

    def digest(self, login: str, secret: bytes) -> int:
        """What stands for these credentials here; worth nothing elsewhere."""
        text = login.encode() + b"\0" + secret
        return int.from_bytes(hashlib.blake2b(text, key=self._key, digest_size=16).digest())

    def knows(self, digest: int) -> bool:
        """Whether they were accepted within the last day, and not refused since."""
        return self._until.get(digest, 0) > self._now()

    async def turn(self, digest: int) -> bool:
        """Wait while somebody proves the same credentials; who goes on without an await is the next one to do so.

        False: it has taken too long, as behind others for each of whom the mail server says nothing.
        """
        if digest not in self._under_way or self.knows(digest):
            return True
        try:
            async with asyncio.timeout(TURN_SECONDS):
                while not self.knows(digest) and (other := self._under_way.get(digest)) is not None:
                    await asyncio.wait([other])
        except TimeoutError:
            return False
        return True

    def begin(self, digest: int) -> None:
        """They are being proved; ``end`` must follow."""
        self._under_way.setdefault(digest, asyncio.get_running_loop().create_future())

    def end(self, digest: int, *, accepted: bool | None) -> None:
        """What the mail server said; None: nothing."""
        waited = self._under_way.pop(digest, None)
        if waited is not None:
            waited.set_result(None)
        if accepted is not None:
            self._until.pop(digest, None)
        if accepted:
            while len(self._until) >= REMEMBERED_MOST:
                del self._until[next(iter(self._until))]
            self._until[digest] = int(self._now() + REMEMBERED_SECONDS)
