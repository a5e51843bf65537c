"""Reports of notices that came back: a bounce is one only where the octets themselves say so; words are bounded.

The second reading is by lines: it knows no MIME, so it says less, and what it denies our reader may not see.
"""

import re
from random import Random

from gateway.notices.bounce_reports import CHANGES_BELOW, RECIPIENTS_AT_MOST, REPORT_LONGEST, bounces_in
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold
from tests.notices.reports import report

TOKEN = "aGVsbG8gd29ybGQgISEh"
KEYS = (
    *(f"1/cut/{TOKEN}", f"2147483647/warning/{TOKEN}", f"7/correction/{TOKEN}"),
    *("1/cut/short", f"0/cut/{TOKEN}", f"2147483648/cut/{TOKEN}", f"999999999999/warning/{TOKEN}"),
)
_FAILED = re.compile(rb"^action\s*:\s*failed\s*$", re.IGNORECASE | re.MULTILINE)


def check(octets: bytes) -> str:
    """See the module."""
    bounces = bounces_in(octets)
    read = octets[:REPORT_LONGEST]
    for bounce in bounces:
        spelled = re.sub(rb"\+([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), read)
        key, name = (f"{bounce.change}{between}{bounce.kind}{between}{bounce.token}" for between in "/.")
        hold("its key stands there", key.encode() in spelled or f"<gp.{name}@".encode() in read)
        unfolded = re.sub(rb"\n[ \t]+", b" ", read.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        # What is not printable is a blank to our reader.
        unfolded = re.sub(rb"[\x00-\x08\x0e-\x1f\x7f]", b" ", unfolded)
        hold("it says that it failed", _FAILED.search(unfolded))
        hold("every store can look for it", 0 < bounce.change < CHANGES_BELOW)
        hold("no address that a store cannot look for", all(each.isprintable() for each in bounce.recipients))
        hold("its status is a code", re.fullmatch(r"(5\.[0-9]{1,3}\.[0-9]{1,3})?", bounce.status))
        hold("few recipients", len(bounce.recipients) <= 2 * RECIPIENTS_AT_MOST)
        hold("in small letters", all(each == each.lower() for each in bounce.recipients))
        hold("words of one line", bounce.words.isprintable() and 0 < len(bounce.words) <= 200)
    return ACCEPTED if bounces else REFUSED


def grow(random: Random) -> bytes:
    """A report, of a failure mostly."""
    key = random.choice(KEYS)
    message_id = f"<gp.{key.replace('/', '.')}@corp.example>"
    octets = report(
        key if random.random() < 0.7 else "",
        random.choice(("ann@corp.example", "ANN@Corp.Example", "a;b", "a+00b@corp.example", "")),
        message_id=message_id if random.random() < 0.7 else "<x@y>",
        action=random.choice(("failed", "failed", "Failed", "delayed", "")),
        status=random.choice(("5.1.1", "5.0.0 (odd)", "4.4.1", "")),
        kind=random.choice(("delivery-status", "global-delivery-status")),
        address_type=random.choice(("rfc822", "utf-8", "x400")),
    )
    return octets if random.random() < 0.8 else octets.replace(b"\r\n", b"\n")


TARGET = Target(
    "bounces",
    "reports of notices that came back; a second reading by lines",
    check,
    grow,
    (
        *(b"\r\n\r\n", b"--b", b"--b--", b"Action: failed", b"Original-Envelope-Id: ", b"Message-ID: ", b"rfc822;"),
        *(b"message/delivery-status", b"multipart/report", b"report-type=", b"boundary=", b"+2F", b"=?utf-8?q?=00?="),
    ),
    8192,
)
