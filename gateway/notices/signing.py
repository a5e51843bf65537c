"""What stands in a notice's link: change, kind, language, a token for the person, an end; signed, and nobody's name.

Mail scanners fetch every link, so looking at it does nothing; only the button of its page acts. The token is the same
in all notices of one person about one change: whoever says twice that it is wrong counts once.
"""

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256

from gateway.domain.notice import NoticeKind

PURPOSE = "wrong"
LINK_SECONDS = 30 * 86_400.0
LONGEST = 200
_PREFIX = "/n/"


@dataclass(frozen=True, slots=True)
class Link:
    """What a good link says."""

    change: int
    kind: NoticeKind
    language: str
    token: str
    """Of the person: ``reader_token``."""
    ends_at: int


def path_of(key: bytes, change: int, kind: NoticeKind, language: str, person_id: str, ends_at: float) -> str:
    """The path of a link, ``/n/…``."""
    text = f"{change}.{kind}.{language}.{reader_token(key, change, person_id)}.{int(ends_at)}"
    return f"{_PREFIX}{text}.{_seal(key, text)}"


def read_path(key: bytes, path: str, now: float) -> Link | None:
    """What a link's path says; None for one that is not ours or is over."""
    if len(path) > LONGEST or not path.startswith(_PREFIX):
        return None
    text, _, seal = path.removeprefix(_PREFIX).rpartition(".")
    if not text.isascii() or not seal.isascii() or not hmac.compare_digest(_seal(key, text), seal):
        return None
    change, kind, language, token, ends_at = text.split(".")
    link = Link(int(change), NoticeKind(kind), language, token, int(ends_at))
    return link if now < link.ends_at else None


def reader_token(key: bytes, change: int, person_id: str) -> str:
    """What stands for a person in the links of one change: it says nothing to whoever lacks the key."""
    digest = hmac.digest(key, f"v1|reader|{change}|{person_id}".encode(), sha256)
    return urlsafe_b64encode(digest[:15]).decode()


def _seal(key: bytes, text: str) -> str:
    digest = hmac.digest(key, f"v1|{PURPOSE}|{text}".encode(), sha256)
    return urlsafe_b64encode(digest[:15]).decode()
