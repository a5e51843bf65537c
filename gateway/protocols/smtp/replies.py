"""A server's reply as a value, and as the octets in which a client gets it (RFC 5321 §4.2)."""

import re
from dataclasses import dataclass
from typing import Final

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
LINES_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """A code, and its text without the code; more lines than one are parted by LF."""

    code: int
    text: str

    @property
    def positive(self) -> bool:
        """Whether what was asked is done."""
        return 200 <= self.code < 300

    @property
    def final(self) -> bool:
        """Whether it can be an answer to a command that asks for nothing more."""
        return 200 <= self.code < 300 or 400 <= self.code < 600

    @property
    def octets(self) -> bytes:
        """As it is written, without its last line's end."""
        said = self.text.encode("utf-8", "surrogateescape").split(b"\n")[:LINES_MOST]
        lines = [_CONTROL.sub(b"", each) for each in said]
        return b"\r\n".join([*(b"%d-%b" % (self.code, each) for each in lines[:-1]), b"%d %b" % (self.code, lines[-1])])
