"""What the story found, each with who counted it and whether it holds: a table for people, and for documents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.demo.sent_in_error.post_office import Letter

COLUMNS = ("what", "found", "counted by", "holds")


@dataclass(frozen=True, slots=True)
class Finding:
    """One row."""

    what: str
    found: str
    counted_by: str
    holds: bool = True

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """For a table."""
        return self.what, self.found, self.counted_by, "yes" if self.holds else "NO"


def markdown(title: str, findings: Iterable[Finding], note: str) -> str:
    """The table for a document."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(each.cells for each in findings)]
    lines = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return f"{title}\n\n" + "\n".join(lines) + f"\n\n{note}\n"


@dataclass(frozen=True, slots=True)
class Corrected:
    """What the mailboxes say of a correction."""

    told: int
    """Readers who had the first message, once each."""
    in_thread: int
    """Those of them who have exactly one message more, which answers the first."""
    others: int
    """Readers who have mail without ever having had the first message."""

    @property
    def exact(self) -> bool:
        """Whether everybody who was told was corrected once, and nobody else was written to."""
        return self.told == self.in_thread and not self.others


def corrected(before: Mapping[str, Sequence[Letter]], after: Mapping[str, Sequence[Letter]]) -> Corrected:
    """Hold the mailboxes after a withdrawal against those before it."""
    told = {address: letters[0] for address, letters in before.items() if len(letters) == 1}
    in_thread = sum(_answers(first, after.get(address, ())) for address, first in told.items())
    return Corrected(len(told), in_thread, len(after.keys() - told.keys()))


def _answers(first: Letter, letters: Sequence[Letter]) -> bool:
    """Whether there is the first message and one that answers it (RFC 5322 3.6.4), and nothing else."""
    if len(letters) != 2 or letters[0].message_id != first.message_id or first.is_answer:
        return False
    second = letters[1]
    return second.in_reply_to == first.message_id and first.message_id in second.references
