"""Runs another program that dies when whoever started this one dies. Run as a script: PARENT-PID PROGRAM ARGUMENT…

A program of its own and no ``preexec_fn``, because code between fork and exec is unsafe in a process with threads. The
kernel keeps the death signal across exec. Where it knows none (macOS), the program is run all the same.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ask for the death signal, see that the parent still lives, become the program."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            # It died before the signal was asked for.
            sys.exit(1)
    # Sent to the whole group by somebody who means the supervisor.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    os.execv(program[0], program)  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
