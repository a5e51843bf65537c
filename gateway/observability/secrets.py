"""Keeps secrets out of logs: values under telling names, and credentials inside any text.

A safety net under the rule that secrets are never logged, not a licence to log them.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MASK = "***"
DEEPEST = 8

_SECRET_NAME = re.compile(
    r"(?:^|[_\-.])(?:password|passwd|passphrase|secrets?|token|authorization|proxy[_-]authorization|cookie|set[_-]cookie"
    r"|credentials?|(?:api|private|secret|signing|session|access|shared|encryption)[_-]?key|bearer|signature)$",
    re.IGNORECASE,
)
_IN_TEXT = (
    # The user part of a URL: redis://:secret@host (RFC 3986 §3.2.1).
    (re.compile(r"(?<=://)[^/\s@'\"]*:[^/\s'\"]*@"), MASK + "@"),
    # Authorization values (RFC 7617, RFC 6750).
    (re.compile(r"\b(Basic|Bearer|NTLM|Negotiate)\s+[A-Za-z0-9+/=._~\-]{8,}", re.IGNORECASE), r"\1 " + MASK),
    # Signature secrets of report sources.
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]+"), "whsec_" + MASK),
)


def masked(name: str, value: Any) -> Any:
    """``value`` as it may be logged under ``name``."""
    return _masked(name, value, 0)


@lru_cache(maxsize=1024)
def _tells_of_a_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _masked(name: str, value: Any, depth: int) -> Any:
    if _tells_of_a_secret(name) and not isinstance(value, bool) and value not in (None, ""):
        return MASK
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, bytes):
        return without_credentials(value.decode("utf-8", "backslashreplace"))
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _masked(str(key), inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked("", inner, depth + 1) for inner in value]
    return value


def without_credentials(text: str) -> str:
    """A text without the credentials that are known by their form."""
    if "://" not in text and "whsec_" not in text and len(text.split(None, 1)) < 2:
        # None of the forms has room in it; most of what is logged is one word.
        return text
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


def printable(value: Any, keep: str = "") -> Any:
    """A text without control characters other than ``keep``, for a terminal; anything else as it is."""
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(
        each if each in keep or each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in value
    )
