"""Certificates as askers hand them on: the same octets by a second reader, and vouched for as they were issued only.

The header's value is read by hand a second time. Whatever comes of it is read as a certificate without an error and
within its bounds; and of all that could be made of the one that is signed here, nothing but itself is believed.
"""

import base64
import binascii
import re
from hashlib import sha256
from pathlib import Path
from random import Random
from urllib.parse import quote_from_bytes

from gateway.network.client_certificate import VALUE_LONGEST, VALUES_MOST, Issuers, peer_certificate
from gateway.protocols.authz.client_certificate import LONGEST, der_of
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

ENROLLED = Path(__file__).parent / "enrolled"
"""An authority and a certificate that it has issued, good from 2026 to 2126; nobody has their keys."""
NOW = 1_900_000_000.0
PEM = (ENROLLED / "device.pem").read_bytes()
ISSUERS = Issuers(str(ENROLLED / "authority.pem"))
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z")
_WHITE = b" \t\n\r\x0b\x0c"
DER = binascii.a2b_base64(b"".join(PEM.strip().splitlines()[1:-1]))


def by_hand(value: bytes) -> bytes | None:
    """The second reader."""
    if len(value) > LONGEST or value[:1] == b"{":
        return None
    text = _without_percent(value).split(b",", 1)[0]
    stripped = text.strip(_WHITE)
    if stripped.startswith(_BEGIN) and stripped.endswith(_END):
        text = stripped[len(_BEGIN) : -len(_END)]
        if not text:
            return None
    bare = bytes(octet for octet in text if octet not in _WHITE)
    return binascii.a2b_base64(bare) or None if _BASE64.match(bare) else None


def _without_percent(value: bytes) -> bytes:
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes((int(found[1], 16),)), value)


def check(octets: bytes) -> str:
    """See the module."""
    der = der_of(octets)
    same("the octets", der, by_hand(octets))
    if der is None:
        return REFUSED
    found = peer_certificate(der)
    if found is not None:
        same("its digest", sha256(der).hexdigest(), found.digest)
        for values in (
            found.common_names,
            found.subject_serials,
            found.emails,
            found.upns,
            found.dns_names,
            found.uris,
        ):
            hold("within bounds", len(values) <= VALUES_MOST)
            hold("of letters", all(0 < len(each) <= VALUE_LONGEST and each.isprintable() for each in values))
    vouched = ISSUERS.vouched(der, NOW)
    if vouched is None:
        return REFUSED if der != DER else "stricter: the very certificate"
    hold("nothing but what was issued is vouched for", der == DER)
    same("read alike", found, vouched)
    hold("not before its time, nor after", ISSUERS.vouched(der, vouched.ends_at) is None)
    return ACCEPTED


def grow(random: Random) -> bytes:
    """The certificate in one of its spellings, some octets of it otherwise now and then."""
    der = bytearray(DER)
    if random.random() < 0.5:
        for _ in range(random.choice((1, 1, 2, 5))):
            der[random.randrange(len(der))] = random.randrange(256)
    if random.random() < 0.05:
        der += random.choice((b"\0", b"0", DER[:7]))
    text = base64.b64encode(der)
    kind = random.random()
    if kind < 0.4:
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        pem = b"\n".join((_BEGIN, *lines, _END, b""))
        return pem if kind < 0.05 else quote_from_bytes(pem, safe=random.choice(("", "+/=", " "))).encode()
    if kind < 0.7:
        return text
    if kind < 0.85:
        return text + b"," + random.choice((text, b"", b"AAAA"))
    return random.choice((quote_from_bytes(text).encode(), b" " + text, text + b"\t", text[:-1], b"{" + text + b"}"))


TARGET = Target(
    "certificates",
    "a client's certificate as askers hand it on, by a second reader; nothing but what was issued is believed",
    check,
    grow,
    (b"%0A", b"%2B", b"%3D", b"%", b",", b"+", b"/", b"=", b"==", _BEGIN, _END, b"{", b" ", b"-----"),
    4096,
)
