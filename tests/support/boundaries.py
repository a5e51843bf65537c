"""Where answers of IMAP and POP3 end, read octet by octet and keeping whole lines: the slow way, to compare with."""

import re


class ImapReading:
    """The answers of an IMAP server by the grammar of RFC 9051 §9."""

    def __init__(self) -> None:
        self._left = 0
        self._line = b""
        self._data = False

    def boundary_after(self, octet: bytes) -> bool:
        """Take one octet; whether whole answers end there."""
        if self._left:
            self._left -= 1
            return False
        self._line += octet
        if not self._line.endswith(b"\r\n"):
            return False
        line, self._line = self._line[:-2], b""
        status = re.match(rb"\* (OK|NO|BAD|BYE|PREAUTH)( |\r|\Z)", line, re.IGNORECASE)
        self._data = self._data or (line.startswith(b"* ") and status is None)
        announced = re.search(rb"\{([0-9]{1,19})\}\Z", line)
        if self._data and announced:
            self._left = int(announced[1])
            return False
        self._data = False
        return True


class Pop3Reading:
    """The answers of a POP3 server; ``many_lines``: for each command whether its answer has a body (RFC 1939 §3)."""

    def __init__(self, many_lines: list[bool]) -> None:
        self._expected = list(many_lines)
        self._line = b""
        self._body = False

    def boundary_after(self, octet: bytes) -> bool:
        """Take one octet; whether whole answers end there."""
        self._line += octet
        if self._line.endswith(b"\r\n"):
            line, self._line = self._line[:-2], b""
            if self._body:
                self._body = line != b"."
            else:
                expected = self._expected.pop(0) if self._expected else False
                self._body = expected and line.startswith(b"+OK")
        return not self._line and not self._body


def boundaries(reading: ImapReading | Pop3Reading, octets: bytes) -> list[bool]:
    """For each place in ``octets``, the beginning included, whether it is a boundary."""
    return [True, *(reading.boundary_after(octets[at : at + 1]) for at in range(len(octets)))]
