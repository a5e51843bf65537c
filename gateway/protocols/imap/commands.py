"""One command of a client before login, understood from its framed octets (RFC 9051 §9).

Lenient where it is known that clients are wrong (``%``, ``*`` and a backslash in an unquoted user name, blanks more
than one), because every command is written anew before a server sees it; strict in everything else.
"""

import re
from typing import Final, NamedTuple

from gateway.domain.errors import InvalidValue
from gateway.protocols.imap.framing import Framed
from gateway.protocols.sasl import Credentials, Mechanism

TAG_LONGEST: Final = 64
ID_PAIRS_MOST: Final = 30
ID_KEY_LONGEST: Final = 30
ID_VALUE_LONGEST: Final = 1024
"""Bounds of RFC 2971 §3.3."""

_HEAD = re.compile(rb"([!#$&',-/0-9:-\[\]^_`a-z|}~]{1,64}+) ([A-Za-z]{1,32}+)(?= |\Z)")
_TAG = re.compile(rb"([!#$&',-/0-9:-\[\]^_`a-z|}~]{1,64}+)(?= |\Z)")
_WORD = re.compile(rb"[A-Za-z]{1,32}+(?= |\Z)")
_BLANKS = re.compile(rb" ++")
_ATOM = re.compile(rb"[!#-'*-z|}~]++")
_QUOTED = re.compile(rb'"((?:[^"\\\0]|\\["\\])*+)"')
_ESCAPED = re.compile(rb'\\(["\\])')
_ANNOUNCEMENT = re.compile(rb"\{[0-9]++\+?\}\Z")
_AUTHENTICATE = re.compile(rb" ++([A-Za-z0-9_-]{1,20}+)(?: ++([A-Za-z0-9+/=]++))? *+\Z")


class BadCommand(InvalidValue):
    """A command whose arguments are not what they must be; its text is ours and holds nothing of the command."""


class Head(NamedTuple):
    """How a command begins."""

    tag: bytes
    verb: bytes
    """In upper case."""


def head_of(line: bytes) -> Head | None:
    """Tag and verb of a command's first line; None: it has none."""
    found = _HEAD.match(line)
    return None if found is None else Head(found[1], found[2].upper())


def tag_of(line: bytes) -> bytes:
    """The tag of a line that is no command otherwise, for the answer; ``*`` if not even that can be read."""
    found = _TAG.match(line)
    return b"*" if found is None else found[1]


class Arguments:
    """Reads the arguments of a command one after the other. Each step raises ``BadCommand``."""

    __slots__ = ("_at", "_line", "_lines", "_literals")

    def __init__(self, framed: Framed, after: int) -> None:
        self._lines, self._literals = framed
        self._line = 0
        self._at = after

    def blanks(self) -> None:
        """At least one blank."""
        self._expect(_BLANKS)

    def _expect(self, expression: re.Pattern[bytes]) -> re.Match[bytes]:
        found = expression.match(self._lines[self._line], self._at)
        if found is None:
            raise BadCommand("the arguments are malformed")
        self._at = found.end()
        return found

    def follows(self, octets: bytes) -> bool:
        """Whether these octets (in any case) stand next; they are passed over then."""
        found = self._lines[self._line][self._at : self._at + len(octets)].upper() == octets
        if found:
            self._at += len(octets)
        return found

    def string(self) -> bytes:
        """A quoted string or a literal."""
        line = self._lines[self._line]
        if line[self._at : self._at + 1] == b'"':
            return _ESCAPED.sub(rb"\1", self._expect(_QUOTED)[1])
        self._expect(_ANNOUNCEMENT)
        if self._line == len(self._literals):
            raise BadCommand("a literal is announced that nobody would send")
        literal = self._literals[self._line]
        self._line, self._at = self._line + 1, 0
        if b"\0" in literal:
            raise BadCommand("a literal has a NUL in it")
        return literal

    def astring(self) -> bytes:
        """An atom, a quoted string or a literal."""
        if self._lines[self._line][self._at : self._at + 1] in (b'"', b"{"):
            return self.string()
        return self._expect(_ATOM)[0]

    def word(self) -> bytes:
        """A word of letters, in upper case."""
        return self._expect(_WORD)[0].upper()

    def rest(self) -> bytes:
        """What is left of the line; no literal may follow."""
        if self._line + 1 < len(self._lines):
            raise BadCommand("no literal is expected here")
        return self._lines[self._line][self._at :].strip(b" ")

    def end(self) -> None:
        """Nothing follows but blanks."""
        if self._line + 1 < len(self._lines) or self._lines[self._line][self._at :].strip(b" "):
            raise BadCommand("there are too many arguments")


def arguments_of(framed: Framed) -> Arguments:
    """The reader of a command's arguments; the command must have a head."""
    head = _HEAD.match(framed.lines[0])
    assert head is not None
    return Arguments(framed, head.end())


def without_arguments(framed: Framed) -> None:
    """Check that a command has none. Raises ``BadCommand``."""
    arguments_of(framed).end()


def read_login(framed: Framed) -> Credentials:
    """The arguments of LOGIN, not ``checked`` yet. Raises ``BadCommand``."""
    arguments = arguments_of(framed)
    arguments.blanks()
    user = arguments.astring()
    arguments.blanks()
    secret = arguments.astring()
    arguments.end()
    return Credentials(Mechanism.PLAIN, user, secret)


def read_authenticate(framed: Framed) -> tuple[bytes, bytes | None]:
    """Name of the mechanism, and the initial response as it stands there (RFC 4959). Raises ``BadCommand``."""
    head = _HEAD.match(framed.lines[0])
    found = _AUTHENTICATE.match(framed.lines[0], head.end() if head else 0)
    if found is None or framed.literals:
        raise BadCommand("a mechanism and at most one response in base64 are wanted")
    return found[1], found[2]


def read_id(framed: Framed) -> tuple[tuple[bytes, bytes], ...]:
    """What a client says of itself (RFC 2971), without the values that are NIL. Raises ``BadCommand``.

    Keys in lower case. Those that begin with ``x-`` are left out: by them a proxy tells a mail server for whom it
    speaks, and no client has a say in that.
    """
    arguments = arguments_of(framed)
    arguments.blanks()
    pairs: list[tuple[bytes, bytes]] = []
    if not arguments.follows(b"NIL"):
        if not arguments.follows(b"("):
            raise BadCommand("a list is wanted")
        _read_pairs(arguments, pairs)
    arguments.end()
    return tuple((key, value) for key, value in pairs if not key.startswith(b"x-"))


def _read_pairs(arguments: Arguments, pairs: list[tuple[bytes, bytes]]) -> None:
    count = 0
    while not arguments.follows(b")"):
        if count:
            arguments.blanks()
        count += 1
        key = arguments.string().lower()
        arguments.blanks()
        value = None if arguments.follows(b"NIL") else arguments.string()
        if count > ID_PAIRS_MOST or len(key) > ID_KEY_LONGEST or len(value or b"") > ID_VALUE_LONGEST:
            raise BadCommand("there are too many or too long fields")
        if value is not None:
            pairs.append((key, value))
