"""Names with a device credential behind them: split alike by a second reader, and no secret gets any further.

``%`` is a letter of names too, so the question is which of them splits. Whatever a name is: the person that is judged,
the name that the mail server is asked with, and what can be printed hold nothing of the form of a credential.
"""

from random import Random

from gateway.domain.access import IdentityStrength, Protocol
from gateway.domain.credential import ALPHABET, ID_LENGTH, SECRET_LENGTH, digest_of, holds_credential, split
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_login
from gateway.protocols.mail_identity import Presented, identity_of
from tests.fuzz.heads import RULES
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

_LETTERS = frozenset(ALPHABET + ALPHABET.upper())
ID, SECRET = "k3vq7mzd", "abcdefghijklmnopqrstuvwxyz"


def by_hand(name: str) -> tuple[str, str, str] | None:
    """The name without it, its ID and its secret; None: there is none."""
    before, percent, behind = name.rpartition("%")
    shown, at, domain = behind.partition("@")
    credential_id, dash, secret = shown.partition("-")
    lengths = (len(credential_id), len(secret)) == (ID_LENGTH, SECRET_LENGTH)
    if not (percent and dash and lengths) or "@" in domain or not {*credential_id, *secret} <= _LETTERS:
        return None
    return before + at + domain, credential_id.lower(), secret.lower()


def check(octets: bytes) -> str:
    """See the module."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        hold("nobody's", identity_of(Presented(Protocol.IMAP, octets, ""), RULES) is None)
        return REFUSED
    read, (name, shown) = by_hand(text), split(text)
    same("whether there is one", read is not None, shown is not None)
    same("asked in another way", shown is not None, holds_credential(text))
    if read is not None and shown is not None:
        same("the user's own name", read[0], name)
        same("which", (read[1], digest_of(read[1], read[2])), (shown.id, shown.digest))
        hold("it is not shown", read[2] not in repr(shown).lower() and shown.digest not in repr(shown))
    return _judged(octets, text, name)


def _judged(octets: bytes, text: str, name: str) -> str:
    presented = Presented(Protocol.IMAP, octets, "192.0.2.1")
    hold("a name is not shown", not text or len(text) < 4 or text not in repr(presented))
    found = identity_of(presented, RULES)
    try:
        login = canonical_login(name, RULES)
    except InvalidValue:
        same("nobody's name is nobody", None, found)
        return REFUSED
    hold("somebody", found is not None)
    assert found is not None
    same("who", login, found.request.login)
    same("the mail server is asked with this name", name.encode(), found.user)
    for each in (found.request.login, found.user.decode()):
        hold("no credential gets further", by_hand(each) is None)
    by_credential = found.request.strength is IdentityStrength.DEVICE_CREDENTIAL
    same("how strong", found.request.credential is not None, by_credential)
    hold("no device but by the credential", not found.request.device_id)
    return ACCEPTED


_NAMES = ("anna", "anna@corp.example", "CORP\\anna", "a%b", "50%", "%", "a%b-c@corp.example", "ünï", "", "a@b@c")
_SHOWN = (
    *(f"%{ID}-{SECRET}", f"%{ID.upper()}-{SECRET.upper()}", f"%{ID}-{SECRET}@corp.example", f"%{ID}-{SECRET[:-1]}"),
    *(
        f"%{ID}{SECRET}",
        f"%{ID[:-1]}1-{SECRET}",
        f"%{ID}-{SECRET}%",
        f"%{ID}-{SECRET}\n",
        f"%%{ID}-{SECRET}",
        f"%{ID}-",
    ),
    # The Kelvin sign and the long s fold to letters of the alphabet.
    *(f"%\u212a3vq7mzd-{SECRET}", f"%{ID}-{SECRET[:-1]}\u017f", f"%{ID}-{SECRET}@a@b", f"\uff05{ID}-{SECRET}"),
)


def grow(random: Random) -> bytes:
    """A name, mostly with one behind it; two sometimes."""
    text = random.choice(_NAMES)
    while random.random() < 0.6:
        text += random.choice(_SHOWN)
    if random.random() < 0.1:
        text += random.choice(("@corp.example", "%", "-"))
    return text.encode()


TARGET = Target(
    "device-credentials",
    "names with a device credential behind them, split by a second reader",
    check,
    grow,
    (*(each.encode() for each in _SHOWN), b"%", b"-", b"@", b"%25", b"\xc5\xbf", b"\xe2\x84\xaa"),
    512,
)
