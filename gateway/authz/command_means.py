"""Ends sessions by a program of the operator's, one user at a time.

The words are passed as they are, without a shell: a user's name is one argument whatever it holds. It is never an
option (it must not begin with ``-``) nor a mask (no wildcards, nothing like a network address), for that is what
``doveadm kick`` would make of it.
"""

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from gateway.authz.cutter import CutFailed
from gateway.protocols.authz import doveadm
from gateway.protocols.wording import one_line

USER: Final = "{user}"
AT_ONCE: Final = 4
SECONDS: Final = 10.0
NOBODY: Final = 68
"""``doveadm kick`` where nobody was there (EX_NOHOST)."""
SAID_LONGEST: Final = 2_000


class CommandMeans:
    """``Means`` by a program."""

    name = "command"
    most = AT_ONCE

    def __init__(self, words: Sequence[str]) -> None:
        """``words``: the program and its arguments; ``{user}`` stands for the name, and is a whole word."""
        self._words = tuple(words)

    def exact(self, target: str) -> str:
        """A user's name as the asker spells it."""
        return doveadm.exact(target)

    async def cut(self, targets: Sequence[str]) -> int:
        """Run the program for each of them, at the same time."""
        outcomes = await asyncio.gather(*(self._run(each) for each in targets), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(outcome is True for outcome in outcomes)

    async def _run(self, user: str) -> bool:
        words = [user if word == USER else word for word in self._words]
        try:
            process = await asyncio.create_subprocess_exec(*words, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
        except OSError as error:
            raise CutFailed(f"{words[0]} cannot be run: {error.strerror or 'no such program'}") from None
        try:
            async with asyncio.timeout(SECONDS):
                said = await _read_some(process)
                code = await process.wait()
        except TimeoutError:
            raise CutFailed(f"{words[0]} does not end within {SECONDS:.0f} s") from None
        finally:
            await _end(process)
        if code not in (0, NOBODY):
            raise CutFailed(f"{words[0]} ended with {code}: {said}")
        return code == 0

    async def close(self) -> None:
        """Nothing is kept."""


async def _read_some(process: Process) -> str:
    """The first of what it says; the rest is read and dropped, so that it does not wait for us."""
    assert process.stderr is not None
    first = await process.stderr.read(SAID_LONGEST)
    while await process.stderr.read(65536):
        pass
    return one_line(first.decode("utf-8", "replace"), 200).decode() or "it says nothing"


async def _end(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
