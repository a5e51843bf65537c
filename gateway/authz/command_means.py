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
LEFT_MOST: Final = 16
"""Programs that go on after their time; no more are begun then."""
KILLED_SECONDS: Final = 1.0
"""So long one that was killed is waited for."""


class CommandMeans:
    """``Means`` by a program."""

    name = "command"
    most = AT_ONCE

    def __init__(self, words: Sequence[str]) -> None:
        """``words``: the program and its arguments; ``{user}`` stands for the name, and is a whole word."""
        self._words = tuple(words)
        self._left: set[asyncio.Task[int]] = set()

    def exact(self, target: str) -> str:
        """A user's name as the asker spells it."""
        return doveadm.exact(target)

    async def cut(self, targets: Sequence[str]) -> int:
        """Run the program for each of them, at the same time. One that fails is no failure of the others."""
        outcomes = await asyncio.gather(*(self._run(each) for each in targets), return_exceptions=True)
        failures: dict[str, CutFailed] = {}
        for target, outcome in zip(targets, outcomes, strict=True):
            if isinstance(outcome, CutFailed):
                failures[target] = outcome
            elif isinstance(outcome, BaseException):
                raise outcome
        ended = sum(outcome is True for outcome in outcomes)
        if failures:
            raise CutFailed(str(next(iter(failures.values()))), failures.keys(), ended)
        return ended

    async def _run(self, user: str) -> bool:
        words = [user if word == USER else word for word in self._words]
        if len(self._left) >= LEFT_MOST:
            raise CutFailed(f"{words[0]} has been begun {LEFT_MOST} times and does not end")
        try:
            process = await asyncio.create_subprocess_exec(*words, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
        except OSError as error:
            raise CutFailed(f"{words[0]} cannot be run: {error.strerror or 'no such program'}") from None
        said, code = "", None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    said = await _read_some(process)
                    code = await process.wait()
        finally:
            await self._end(process)
        if code is None:
            # Behind the timeout's own error, which keeps this task, which would keep both.
            raise CutFailed(f"{words[0]} does not end within {SECONDS:.0f} s")
        if code not in (0, NOBODY):
            raise CutFailed(f"{words[0]} ended with {code}: {said}")
        return code == 0

    async def _end(self, process: Process) -> None:
        if process.returncode is not None:
            return
        # kill(2): sudo is root's, whoever has started it.
        with suppress(ProcessLookupError, PermissionError):
            process.kill()
        # It may not be ours to kill, hang in the kernel, or have left its output to a child. Only this task waits on.
        waiting = asyncio.get_running_loop().create_task(process.wait())
        self._left.add(waiting)
        waiting.add_done_callback(self._left.discard)
        await asyncio.wait({waiting}, timeout=KILLED_SECONDS)

    async def close(self) -> None:
        """Wait no longer for what goes on after its time."""
        for waiting in tuple(self._left):
            waiting.cancel()


async def _read_some(process: Process) -> str:
    """The first of what it says; the rest is read and dropped, so that it does not wait for us."""
    assert process.stderr is not None
    first = await process.stderr.read(SAID_LONGEST)
    while await process.stderr.read(65536):
        pass
    return one_line(first.decode("utf-8", "replace"), 200).decode() or "it says nothing"
