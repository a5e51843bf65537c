"""A child process that an earlier program of this process started: waited for by its pidfd, as pidfd_open(2) has it.

exec(2) keeps the children of a process, but nothing of what the program knew of them.
"""

import asyncio
import os
import signal

UNKNOWN_CODE = 255
"""The program before had buried the child already, and its code went with it."""


class AdoptedProcess:
    """Like ``asyncio.subprocess.Process`` as far as a supervisor needs it. Linux 5.3 or newer."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._fd = -1
            self.returncode = UNKNOWN_CODE

    async def wait(self) -> int:
        """Wait for its end: the exit code, negative for a signal."""
        if self.returncode is None:
            loop = asyncio.get_running_loop()
            ended = asyncio.Event()
            # A pidfd becomes readable when its process ends.
            loop.add_reader(self._fd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._fd)
            self._bury()
        assert self.returncode is not None
        return self.returncode

    def _bury(self) -> None:
        if self.returncode is not None:
            return
        try:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:
            self.returncode = UNKNOWN_CODE
        os.close(self._fd)
        self._fd = -1

    def send_signal(self, number: int) -> None:
        """Send a signal. Raises ``ProcessLookupError`` when it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._fd, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)
