"""What stands in a notice's link: a change, a kind, a token for the person, an end; signed, and without anybody's name.

Mail scanners fetch every link, so looking at it does nothing; only the button of its page acts.
"""

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256

from gateway.domain.notice import NoticeKind, person_token

PURPOSE = "wrong"
LINK_SECONDS = 30 * 86_400.0
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Link:
    """What a good link says."""

    change: int
    kind: NoticeKind
    token: str
    """Of the person: ``domain.notice.person_token``."""
    ends_at: int


def path_of(key: bytes, change: int, kind: NoticeKind, person_id: str, ends_at: float) -> str:
    """The path of a link, ``/n/…``."""
    text = f"{change}.{kind}.{person_token(key, change, kind, person_id)}.{int(ends_at)}"
    return f"/n/{text}.{_seal(key, text)}"


def read_path(key: bytes, path: str, now: float) -> Link | None:
    """What a link's path says; None for one that is not ours or is over."""
    if len(path) > LONGEST or not path.startswith("/n/"):
        return None
    text, _, seal = path.removeprefix("/n/").rpartition(".")
    if not text.isascii() or not seal.isascii() or not hmac.compare_digest(_seal(key, text), seal):
        return None
    change, kind, token, ends_at = text.split(".")
    link = Link(int(change), NoticeKind(kind), token, int(ends_at))
    return link if now < link.ends_at else None


def _seal(key: bytes, text: str) -> str:
    digest = hmac.digest(key, f"v1|{PURPOSE}|{text}".encode(), sha256)
    return urlsafe_b64encode(digest[:15]).decode()
