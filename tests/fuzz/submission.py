"""What a client submits by SMTP: an envelope that two readers take for the same, a message that ends in one place only.

The input is commands up to DATA, and then a message. What passes of the message is read once more by the most lenient
of servers, which takes every dot between two ends of lines, of whatever kind, for the end.
"""

import re
from random import Random

from gateway.protocols.smtp.body import Body, Fault
from gateway.protocols.smtp.envelope import BadCommand, read_mail, read_rcpt
from gateway.protocols.smtp.extensions import Extensions
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

ALL = Extensions(size=0, eight_bit=True, utf8=True, dsn=True)
MOST = 1500
SPLIT_MOST = 24
_LENIENT_END = re.compile(rb"(?:\r\n|\r|\n)\0*\.(?=\r\n|\r|\n)")

Reading = tuple[bytes, bool, bytes, Fault | None]


def _read(octets: bytes, cuts: list[int]) -> Reading:
    """What passes, whether it ended, what is behind it, and what is wrong with it."""
    body, passed, rest, ended = Body(MOST), b"", b"", False
    for begin, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        if ended:
            rest += octets[begin:end]
            continue
        piece = body.take(octets[begin:end])
        passed, ended, rest = passed + piece.passed, piece.ended, rest + piece.rest
    return passed, ended, rest, body.fault


def _message(octets: bytes) -> bool:
    """Whether all of a message passes."""
    whole = _read(octets, [])
    every = [_read(octets, list(range(1, len(octets))))]
    every += [_read(octets, [at]) for at in range(1, len(octets), 1 + len(octets) // SPLIT_MOST)]
    for passed, ended, rest, fault in every:
        same("where it ends", whole[1:3], (ended, rest))
        same("whether it is right", whole[3] is None, fault is None)
        if fault is None:
            hold("what is held back is a line's end", whole[0][: len(passed)] == passed)
        _ends_once(passed, ended=ended)
    passed, ended, rest, fault = whole
    _ends_once(passed, ended=ended)
    same("its end, line by line", _by_lines(octets), len(octets) - len(rest) if ended else -1)
    if ended and fault is None:
        same("nothing is changed", passed + rest, octets)
    return ended and fault is None


def _ends_once(passed: bytes, *, ended: bool) -> None:
    found = _LENIENT_END.search(b"\r\n" + passed)
    if found is not None:
        # Behind the dot stands the last line's end, and nothing else.
        hold("a lenient server ends it where we do", ended and found.end() == len(passed))


def _by_lines(octets: bytes) -> int:
    """Where the first line that is a dot ends; -1: nowhere."""
    at = 0
    while (end := octets.find(b"\r\n", at)) >= 0:
        if octets[at:end] == b".":
            return end + 2
        at = end + 2
    return -1


def _path(octets: bytes) -> bytes:
    """From the first ``<`` to the ``>`` that closes it, octet by octet; quoted strings hold what they like."""
    begin = octets.index(b"<")
    quoted = escaped = False
    for at in range(begin, len(octets)):
        octet = octets[at : at + 1]
        if escaped:
            escaped = False
        elif quoted and octet == b"\\":
            escaped = True
        elif octet == b'"':
            quoted = not quoted
        elif octet == b">" and not quoted:
            return octets[begin : at + 1]
    return b""


def _command(line: bytes) -> bool:
    """Whether a command of the envelope passes."""
    verb, _, argument = line.partition(b" ")
    sender = verb.upper() == b"MAIL"
    try:
        read = read_mail(argument, ALL) if sender else read_rcpt(argument, ALL, utf8=True)
    except BadCommand as error:
        hold("a refusal is one line", error.reply[:1] == b"5" and not {0, 10, 13} & set(error.reply))
        return False
    hold("nothing steers it", not re.search(rb"[\x00-\x1f\x7f]", read.octets))
    same("the path", _path(argument), _path(read.octets))
    hold("the path is one", read.octets.count(b" ", 0, read.octets.index(_path(read.octets)[0:1])) == 1)
    again = read.octets.partition(b" ")[2]
    written = read_mail(again, ALL) if sender else read_rcpt(again, ALL, utf8=True)
    same("read once more", read, written)
    for word in read.octets[read.octets.index(_path(read.octets)) + len(_path(read.octets)) :].split():
        name, _, value = word.partition(b"=")
        given = {key.upper(): said for key, _, said in (each.partition(b"=") for each in argument.split(b" "))}
        same(
            f"the value of {name!r}",
            value.upper(),
            (b"%d" % int(given[name])) if name == b"SIZE" else given[name].upper(),
        )
    return True


def check(octets: bytes) -> str:
    """See the module."""
    envelope, data, message = octets.partition(b"DATA\r\n")
    passes = [_command(line) for line in envelope.split(b"\r\n") if line[:4].upper() in (b"MAIL", b"RCPT")]
    whole = _message(message if data else octets)
    return ACCEPTED if whole and all(passes) else REFUSED


# --- growing

_LOCALS = (b"anna", b"a..b", b'"a > b"', b'"a\\"b"', b"a%b", b"\xc3\xbc", b"a b", b"(c)a", b"", b"@one,@two:a", b'"a')
_DOMAINS = (b"corp.example", b"[192.0.2.1]", b"[IPv6:::1]", b"x y", b"b@c", b"", b"b\0c", b"\xc3\xa4.example")
_WORDS = (
    *(b"SIZE=5", b"SIZE=", b"size=007", b"BODY=8BITMIME", b"BODY=x", b"SMTPUTF8", b"RET=hdrs", b"ENVID=Ab+2B", b"X=1"),
    *(b"AUTH=<>", b"NOTIFY=NEVER", b"NOTIFY=SUCCESS,DELAY", b"ORCPT=rfc822;a+40b", b"SIZE=5", b"=", b"A=B=C"),
)
_LINES = (b"Subject: x", b"..", b"...", b"text", b"", b"\xc3\xbc", b". ", b"MAIL FROM:<boss@corp.example>")
_ENDS = (b"\r\n",) * 12 + (b"\n", b"\r", b"\r\r\n", b"\0\r\n")
_LASTS = (b"\r\n.\r\n",) * 8 + (b"\n.\n", b"\r\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\r", b"\r\n\0.\r\n")


def grow(random: Random) -> bytes:
    """An envelope and a message, mostly right."""
    lines = []
    for verb in (b"MAIL FROM:", *([b"RCPT TO:"] * random.randrange(3))):
        path = b"<%b@%b>" % (_some(random, _LOCALS, 0.7), _some(random, _DOMAINS, 0.8))
        words = [random.choice(_WORDS) for _ in range(random.choice((0, 0, 1, 2)))]
        lines.append(b" ".join((verb + (path if random.random() < 0.95 else b"<>"), *words)))
    body = b"".join(random.choice(_LINES) + random.choice(_ENDS) for _ in range(random.randrange(6)))
    last = random.choice(_LASTS)
    return b"\r\n".join(lines) + b"\r\nDATA\r\n" + body + b"x" + last + random.choice((b"", b"QUIT\r\n", b".\r\n"))


def _some(random: Random, of: tuple[bytes, ...], first: float) -> bytes:
    return of[0] if random.random() < first else random.choice(of)


TARGET = Target(
    "submission",
    "MAIL and RCPT read twice; a message at any split, and by the most lenient of servers",
    check,
    grow,
    (
        *(
            b"\r\n",
            b"\r\n.\r\n",
            b"\n.\n",
            b"\r.\r",
            b"\0",
            b".",
            b"\r",
            b"\n",
            b"DATA\r\n",
            b"MAIL FROM:",
            b"RCPT TO:",
        ),
        *(b"<", b">", b"@", b'"', b"\\", b" SIZE=1", b" SMTPUTF8", b" BODY=8BITMIME", b" RET=FULL", b" ENVID=x"),
    ),
    2048,
)
