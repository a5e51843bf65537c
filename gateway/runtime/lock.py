"""One Gatepost per ``data_dir``: a lock on a file in it that the kernel frees when its holder ends, however it ends.

The file holds the holder's pid for the sentence a second one prints. Children don't inherit the lock.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.domain.errors import DomainError

LOCK_FILE = "gatepost.lock"


class DataDirUnusable(DomainError):  # noqa: N818
    """``data_dir`` cannot be used by this process; the text says why and what to do."""


class DataDirLock:
    """Holds ``data_dir`` until ``release`` or the end of the process; makes the directory where there is none.

    Raises ``DataDirUnusable``: another Gatepost uses it, or it cannot be written.
    """

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / LOCK_FILE
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise DataDirUnusable(
                f"[gateway] data_dir {data_dir} cannot be used ({error.strerror}): "
                "name a directory that this user may write"
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._fd, 20).decode("ascii", "replace").strip()
            os.close(self._fd)
            if not isinstance(error, BlockingIOError):
                raise DataDirUnusable(
                    f"[gateway] data_dir {data_dir} cannot be locked ({error.strerror}): name a local directory"
                ) from None
            raise DataDirUnusable(
                f"another Gatepost (pid {holder or 'unknown'}) uses [gateway] data_dir {data_dir}: "
                "end it, or give this one a data_dir of its own"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    @property
    def fd(self) -> int:
        """For another program of this process, which goes on holding the directory by it."""
        return self._fd

    @classmethod
    def taken_over(cls, fd: int) -> Self:
        """The lock in that program: it was never let go."""
        lock = cls.__new__(cls)
        os.set_inheritable(fd, False)
        lock._fd = fd
        return lock

    def release(self) -> None:
        """Let go of the directory. The file stays: removing it would let two hold it at once."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            # Not by closing alone: a child that is just being started has a copy until it is another program.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder_of(data_dir: Path) -> str:
    """The pid of the Gatepost that uses ``data_dir``; empty: none does."""
    try:
        with (data_dir / LOCK_FILE).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(20).decode("ascii", "replace").strip() or "unknown"
    except OSError:
        pass
    return ""


def holds(data_dir: Path, pid: int) -> bool:
    """Whether that process of this machine, as seen from here, has the lock's file open.

    Two containers may share ``data_dir``, and then the pid in the file is one where its holder is. True also where the
    system does not say (proc(5)).
    """
    try:
        lock = os.stat(data_dir / LOCK_FILE)
        with os.scandir(f"/proc/{pid}/fd") as opened:
            return any(_is(each, lock) for each in opened)
    except FileNotFoundError:
        return not Path("/proc/self/fd").exists()
    except OSError:
        return True


def _is(entry: "os.DirEntry[str]", file: os.stat_result) -> bool:
    try:
        return os.path.samestat(entry.stat(), file)
    except OSError:
        # Closed meanwhile.
        return False
