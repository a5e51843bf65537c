"""What a refused person is told, and how a text from outside becomes safe to send in one line of a protocol.

The name of an app may be anything, the phone gave it to itself; a ban's text comes from an administrator. Nothing
here can end a line, steer a terminal, turn text round, or look like the announcement of a literal.
"""

import re
import unicodedata
from typing import Final

from gateway.domain.verdict import Verdict

BLOCKED_TEXT: Final = "Mail on this device is blocked by your organization. Ask your help desk."
"""What is said when nothing more is known."""
DEFERRED_TEXT: Final = "The mail gateway cannot answer now. Mail will come back by itself."
APP_LONGEST: Final = 200
"""Characters of an app's name that are sent."""

_STEERING: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What steers a terminal or turns text round (Unicode Standard Annex #9 §2), but for the end of a line."""
_PLAIN: Final = str.maketrans(
    {"{": "(", "}": ")", "‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "ß": "ss"}
)
_UNKNOWN = re.compile(r"\?[? ]*\?")


def app_named(verdict: Verdict) -> str:
    """The app that decided, as its owner finds it on the phone and a help desk in a list; empty: none did."""
    app_id = verdict.app.id if verdict.app else ""
    # Many inventories know no names, or repeat the id: then the ban's own name it is.
    name = verdict.app.name if verdict.app and verdict.app.name not in ("", app_id) else verdict.ban
    return f"{name} ({app_id})" if name and app_id and name != app_id else name or app_id


def blocked(app: str, note: str) -> str:
    """Why mail is blocked, in one line or two: the app, and what the organization writes of it (or whom to ask)."""
    name = " ".join(_STEERING.sub(" ", app).split())[:APP_LONGEST]
    said = _STEERING.sub("", note).strip()
    if not name and not said:
        return BLOCKED_TEXT
    because = f" because of this app: {name}" if name else ""
    return f"Mail on this device is blocked by your organization{because}\n{said or 'Ask your help desk.'}"


def one_line(text: str, longest: int, *, utf8: bool = False) -> bytes:
    """``text`` as at most ``longest`` octets of printable ASCII, or of UTF-8; never empty.

    Lines become sentences. Without ``utf8`` letters lose their accents, and what has no likeness becomes a question
    mark. No braces are left: a line that ends in ``{5}`` announces a literal to some clients.
    """
    sentences = [" ".join(_STEERING.sub(" ", line).split()) for line in text[: 4 * longest].split("\n")]
    joined = " ".join(_ended(each) for each in sentences[:-1] if each)
    line = f"{joined} {sentences[-1]}".strip().translate(_PLAIN)
    if utf8:
        octets = line.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore").encode()
    else:
        octets = _ascii(line)[:longest]
    return octets.strip() or b"-"


def _ended(sentence: str) -> str:
    return sentence if sentence[-1] in ".!?:" else sentence + "."


def _ascii(line: str) -> bytes:
    if line.isascii():
        return line.encode()
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", line) if not unicodedata.combining(letter))
    return _UNKNOWN.sub("?", bare.translate(_PLAIN).encode("ascii", "replace").decode()).encode()
