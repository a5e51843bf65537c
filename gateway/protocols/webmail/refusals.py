"""What a client of DAV, JMAP, EWS or MAPI is told in place of its mail.

403 with what a program reads and a person too; never 401, which makes clients ask for the password again and again.
"Cannot know now" is 503 with Retry-After by every protocol.
"""

import json
import re
from typing import Final
from xml.sax.saxutils import escape

from gateway.protocols.activesync.refusals import TEXT_LONGEST, forbidden
from gateway.protocols.answer import Answer
from gateway.protocols.webmail.paths import METHODS, Rule
from gateway.protocols.wording import blocked

_PRIVATE: Final = ("Cache-Control", "private, no-store")
_NO_XML = re.compile("[^\x09\x0a\x0d\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document may contain (XML 1.0 §2.2)."""


def deny(rule: Rule, app: str = "", note: str = "") -> Answer:
    """The refusal in the rule's own form."""
    if rule is Rule.DAV:
        return _dav(blocked(app, note))
    if rule is Rule.JMAP:
        return _jmap(blocked(app, note))
    return forbidden(app, note)


def _dav(text: str) -> Answer:
    """A precondition that is not met (RFC 4918 §16): the privilege (RFC 3744 §7.1.1), with the reason for a reader."""
    said = escape(_NO_XML.sub("?", text[:TEXT_LONGEST]))
    body = (
        '<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:"><D:need-privileges/>'
        f"<D:responsedescription>{said}</D:responsedescription></D:error>\n"
    )
    return Answer(403, "Forbidden", (("Content-Type", "application/xml; charset=utf-8"), _PRIVATE), body.encode())


def _jmap(text: str) -> Answer:
    """A problem (RFC 8620 §3.6.1, RFC 9457) of no registered type: there is none for it."""
    problem = {"type": "about:blank", "status": 403, "title": "Forbidden", "detail": text[:TEXT_LONGEST]}
    body = json.dumps(problem).encode("ascii")
    return Answer(403, "Forbidden", (("Content-Type", "application/problem+json"), _PRIVATE), body)


def method_not_allowed(rule: Rule) -> Answer:
    """405: the rule has no such method."""
    allowed = ", ".join(sorted(method.decode("ascii") for method in METHODS[rule]))
    return Answer(405, "Method Not Allowed", (("Allow", allowed), _PRIVATE))


def wrong_destination(sentence: str) -> Answer:
    """403: a COPY or MOVE to where this gateway does not lead (RFC 4918 §9.8.5)."""
    return Answer(
        *(403, "Forbidden"), (("Content-Type", "text/plain; charset=utf-8"), _PRIVATE), f"{sentence}.".encode("ascii")
    )


def found_at(path: str) -> Answer:
    """301: calendars and address books are there (RFC 6764 §5)."""
    return Answer(301, "Moved Permanently", (("Location", path), ("Cache-Control", "no-cache")))
