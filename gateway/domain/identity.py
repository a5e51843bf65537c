"""Names made one: logins and ActiveSync DeviceIds in a single canonical spelling.

Everything behind the edges compares canonical strings only: stores, caches, logs and verdicts. The rules here must
stay stable for the life of a deployment, because stored keys follow from them.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.credential import DEVICE_PREFIX, credential_id, device_known_by, holds_credential
from gateway.domain.errors import InvalidValue

LOGIN_LONGEST = 256
"""Characters; RFC 5321 §4.5.3.1 allows 64 + 1 + 255 octets, no directory goes near it."""
SPELLING_LONGEST = 2 * LOGIN_LONGEST
"""Characters before normalisation, which may join some. It sorts marks by insertion (Unicode §3.11), so whoever asks
with a name of thousands of them would have the time of everybody."""
DEVICE_ID_LONGEST = 32
"""Octets, [MS-ASHTTP] 2.2.1.1.1.2.3."""

_ALNUM = re.compile(rb"[A-Za-z0-9]+\Z")
_HEX_PAIRS = re.compile(r"(?:[0-9a-f]{2})+\Z")

_LEFT_OUT = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u1806\u180b-\u180f\ufe00-\ufe0f\ufffc\U000e0100-\U000e01ef]|  ")
"""What SASLprep (RFC 4013 §2.1, which PLAIN asks of servers) or directories (RFC 4518 §2.2, §2.6) map to nothing, or
Unicode calls ignorable, and is printable to Python all the same; and of blanks the second."""

_USUAL_LOGIN = re.compile(r"[a-z0-9._+-]{1,64}@([a-z0-9.-]{1,128})\Z")
"""What is canonical as it stands, and most logins are."""


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """Which spellings mean the same person."""

    default_domain: str = ""
    """Appended to a name without a domain; empty: such names stay as they are."""
    domains: Mapping[str, str] = field(default_factory=dict)
    """Other names of a mail domain: ``CORP`` (as in ``CORP\\a``) or ``corp.local`` to ``corp.example``; keys folded."""

    token_claim: str = ""
    """The claim of a bearer token that names its owner; empty: the first of the usual ones."""

    def mail_domain(self, name: str) -> str:
        """The mail domain that ``name`` stands for."""
        folded = name.casefold()
        return self.domains.get(folded, folded)


def identity_rules(default_domain: str, domains: Mapping[str, str], token_claim: str = "") -> IdentityRules:
    """Rules with folded keys and values."""
    folded = {key.casefold(): value.casefold() for key, value in domains.items()}
    return IdentityRules(default_domain.casefold(), folded, token_claim)


def canonical_login(text: str, rules: IdentityRules) -> str:
    """The one spelling of ``a``, ``DOMAIN\\a``, ``a@d`` and ``DOMAIN\\a@d``.

    Case is folded after NFKC, as directories compare names. In ``DOMAIN\\a@d`` the part behind the backslash is the
    name. Raises ``InvalidValue`` for an empty or over-long name, control characters and others that cannot be seen,
    blanks at the ends, beside a separator or two in a row, or more than one separator of a kind.
    """
    usual = _USUAL_LOGIN.match(text)
    if usual is not None and usual[1] not in rules.domains:
        return text
    name = unicodedata.normalize("NFKC", text).casefold() if len(text) <= SPELLING_LONGEST else ""
    if not name or len(name) > LOGIN_LONGEST:
        raise InvalidValue("the user name is empty or longer than 256 characters")
    # As it was given too, for so the mail server would be asked: folding may make a ``%`` of what stands behind it.
    _check_bare(text)
    _check_bare(name)
    if name != name.strip() or not name.isprintable() or _LEFT_OUT.search(name):
        raise InvalidValue("the user name has blanks at its ends, two in a row, or characters that cannot be seen")
    netbios = ""
    if "\\" in name:
        netbios, _, name = name.partition("\\")
        if not netbios or not name or "\\" in name or "@" in netbios:
            raise InvalidValue("the user name has more than one backslash, or no domain and name beside it")
    local, at, domain = name.partition("@")
    if any(part != part.strip() for part in (netbios, local, domain)):
        # A back end that trims would take it for the name without.
        raise InvalidValue("the user name has blanks beside its separators")
    if at and (not local or not domain or "@" in domain):
        raise InvalidValue("the user name is no mail address")
    if at:
        login = f"{local}@{rules.mail_domain(domain)}"
    elif netbios:
        login = f"{name}@{rules.mail_domain(netbios)}"
    else:
        login = f"{name}@{rules.default_domain}" if rules.default_domain else name
    if len(login) > LOGIN_LONGEST:
        raise InvalidValue("the user name is longer than 256 characters with its domain")
    # Once more: before a backslash it was no domain, and now it would be one.
    _check_bare(login)
    return login


def _check_bare(name: str) -> None:
    """Raises ``InvalidValue`` for a device credential: whoever takes one has cut it off before."""
    if holds_credential(name):
        raise InvalidValue("the user name holds a device credential, which is not taken here")


def canonical_device_id(raw: bytes) -> str:
    """The one spelling of an ActiveSync DeviceId: plain text, base64 form's bytes, hex of either, any case.

    Back ends print the base64 form's raw bytes as hex (Z-Push, SOGo), others as text, and some lower-case: all of
    these must be one device, or a refused phone would get in by another spelling. Letters and digits are folded; other
    bytes are written as hex; hex that spells letters and digits is undone until nothing changes. Raises
    ``InvalidValue`` for an empty id, more than 32 octets.
    """
    if not raw or len(raw) > DEVICE_ID_LONGEST:
        raise InvalidValue("a DeviceId has 1 to 32 letters and digits")
    if not _ALNUM.match(raw):
        return raw.hex()
    text = raw.decode("ascii").lower()
    while _HEX_PAIRS.match(text):
        decoded = bytes.fromhex(text)
        if not _ALNUM.match(decoded):
            break
        text = decoded.decode("ascii").lower()
    return text


def canonical_plain_device_id(text: str) -> str:
    """The canonical form of a DeviceId as people and sources write it: text, or hex longer than 32 characters.

    Blanks, hyphens, commas and every other character that [MS-ASHTTP] excludes raise ``InvalidValue``.
    """
    raw = text.strip().encode("utf-8", "replace")
    if not _ALNUM.match(raw):
        raise InvalidValue("a DeviceId has letters and digits only")
    folded = text.strip().lower()
    if len(raw) > DEVICE_ID_LONGEST and _HEX_PAIRS.match(folded):
        return canonical_device_id(bytes.fromhex(folded))
    return canonical_device_id(raw)


def device_named(text: str) -> str:
    """The canonical id of a device as an operator writes it: a DeviceId, or ``credential:ID``.

    Raises ``InvalidValue``.
    """
    folded = text.strip().lower()
    if folded.startswith(DEVICE_PREFIX):
        return device_known_by(credential_id(folded.removeprefix(DEVICE_PREFIX)))
    return canonical_plain_device_id(text)
