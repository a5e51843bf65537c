"""Break-glass: all enforcement off on one machine, by a file, when everything else may be dead.

``gatepost flag set --global off --local`` appends a line to a journal in ``data_dir``; every process there looks at it
each second. The newest line counts, for at most a day, whatever it says: a file can lessen enforcement, never add to
it, and not for ever. Lines are never changed, so that the audit log can be told of all of them later.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

JOURNAL = "break-glass.jsonl"
LASTS_SECONDS = 86_400.0
AHEAD_SECONDS = 300.0
"""A line of later than this is of a clock that was wrong, and does not count."""
READ_MOST = 1 << 20
REASON_LONGEST, BY_LONGEST = 500, 200
"""Characters. A longer one is no reason to refuse: it loses its end."""


class JournalUnusable(Exception):  # noqa: N818  (what is the matter)
    """The journal cannot be read or written; the text says what to do."""


@dataclass(frozen=True, slots=True)
class GlassAct:
    """One line: somebody broke the glass, or put it back."""

    broken: bool
    at: float
    by: str
    reason: str = ""

    @property
    def ends_at(self) -> float:
        """When it ends by itself."""
        return self.at + LASTS_SECONDS

    def in_force(self, now: float) -> bool:
        """Whether enforcement is off by it."""
        return self.broken and self.at - AHEAD_SECONDS <= now < self.ends_at


def append_act(data_dir: Path, act: GlassAct) -> GlassAct:
    """Write a line that is on disk when this returns; the act as it stands there. Raises ``JournalUnusable``."""
    path = data_dir / JOURNAL
    act = replace(act, by=_text(act.by, BY_LONGEST), reason=_text(act.reason, REASON_LONGEST))
    line = json.dumps({"broken": act.broken, "at": act.at, "by": act.by, "reason": act.reason})
    try:
        there = path.exists()
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if not there and os.geteuid() == 0:
                # Root may do it where the gateway runs as somebody else, who must be able to read it.
                owner = data_dir.stat()
                os.fchown(file, owner.st_uid, owner.st_gid)
            # Its own newline first: what a full disk left of an earlier line must not swallow this one.
            os.write(file, f"\n{line}\n".encode())
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise JournalUnusable(
            f"{path} cannot be written ({error.strerror}): run this on the gateway's machine, as its user or as root"
        ) from None
    # Not only the newest: somebody else may have written one since.
    if act not in read_acts(data_dir):
        raise JournalUnusable(f"{path} was not written as a whole: is the disk full? Make room and do it again")
    return act


def read_acts(data_dir: Path) -> Sequence[GlassAct]:
    """All lines, oldest first; none where there is no journal. Raises ``JournalUnusable``."""
    path = data_dir / JOURNAL
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise JournalUnusable(f"{path} cannot be read ({error.strerror}): let the gateway's user read it") from None
    with os.fdopen(file, "rb") as content:
        try:
            text = content.read(READ_MOST + 1)
        except OSError as error:
            raise JournalUnusable(f"{path} cannot be read ({error.strerror})") from None
    if len(text) > READ_MOST:
        raise JournalUnusable(f"{path} is longer than 1 MB: move it away")
    return tuple(act for line in text.splitlines() if (act := _act(line)) is not None)


def newest_act(data_dir: Path) -> GlassAct | None:
    """The line that counts. Raises ``JournalUnusable``."""
    acts = read_acts(data_dir)
    return acts[-1] if acts else None


def _act(line: bytes) -> GlassAct | None:
    """None for what is no line of ours."""
    with suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
        told = json.loads(line)
        broken, at = told["broken"], float(told["at"])
        # A comparison that NaN fails, too.
        if isinstance(broken, bool) and 0.0 <= at < 1e11:
            return GlassAct(broken, at, _text(str(told["by"]), BY_LONGEST), _text(str(told["reason"]), REASON_LONGEST))
    return None


def _text(words: str, longest: int) -> str:
    """Its beginning, without what has no octets: a terminal of another character set gives such, and no answer could
    hold it."""
    return words[:longest].encode("utf-8", "replace").decode()
