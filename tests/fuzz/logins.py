"""IMAP and POP3 until the login, and where answers end: the same at every split, and what is asked is what was sent.

The same octets are read as a client's commands and as a server's answers. Credentials that are found are written anew
for a mail server and read once more; answers end where an octet-by-octet reading of whole lines ends them.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

from gateway.protocols import sasl
from gateway.protocols.imap import before_login as imap
from gateway.protocols.imap import responses as imap_responses
from gateway.protocols.imap import upstream_login as imap_upstream
from gateway.protocols.login import (
    Accepted,
    ClientEvent,
    Ended,
    LoginAsked,
    Offer,
    Opened,
    Rejected,
    Send,
    ServerEvent,
    StartTls,
    TlsAsked,
)
from gateway.protocols.pop3 import before_login as pop3
from gateway.protocols.pop3 import responses as pop3_responses
from gateway.protocols.pop3 import upstream_login as pop3_upstream
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same
from tests.support.boundaries import ImapReading, Pop3Reading, boundaries

SECURE = Offer(tuple(sasl.Mechanism))
CLEAR = Offer(starttls=True)
SPLIT_MOST = 24
"""Splits of an input that are tried."""

_TAG = rb"[!#$&',-/0-9:-\[\]^_`a-z|}~*]{1,64}"
_IMAP_LINE = re.compile(rb"(?:\+ |%b (?:OK|NO|BAD|BYE|ID|CAPABILITY|ENABLED)\b)[ -~]*\Z" % _TAG)
_POP3_LINE = re.compile(rb"(?:\+ |\+OK|-ERR )[ -~]*\Z|[A-Z][A-Z0-9 -]*\Z|\.\Z")
_IMAP_UPSTREAM = b"* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2 AUTH=OAUTHBEARER%b] x\r\n"

Upstream = imap_upstream.UpstreamLogin | pop3_upstream.UpstreamLogin
Dialogue = imap.Dialogue | pop3.Dialogue
Reading = tuple[bytes, list[ClientEvent]]


def _read(dialogue: Dialogue, pieces: list[bytes]) -> Reading:
    """What is written, and what is asked of the proxy; every login is refused."""
    written, found = b"", list[ClientEvent]()
    for piece in pieces:
        dialogue.receive(piece)
        while (event := dialogue.next()) is not None:
            written += event.octets
            if isinstance(event, LoginAsked | Ended | TlsAsked):
                found.append(event)
            if isinstance(event, LoginAsked):
                answer = dialogue.defer(event.tag)
                written += answer.octets
                found += [answer] if isinstance(answer, Ended) else []
    return written, found


def _at_every_split(octets: bytes, begin: Callable[[], Dialogue]) -> Reading:
    whole = _read(begin(), [octets])
    for at in range(1, len(octets), 1 + len(octets) // SPLIT_MOST):
        same(f"split at {at}", whole, _read(begin(), [octets[:at], octets[at:]]))
    same("octet by octet", whole, _read(begin(), [octets[at : at + 1] for at in range(len(octets))]))
    return whole


def _logins(found: list[ClientEvent]) -> list[LoginAsked]:
    return [event for event in found if isinstance(event, LoginAsked)]


def _lines_are(expression: re.Pattern[bytes], written: bytes) -> None:
    hold("lines are whole", not written or written.endswith(b"\r\n"))
    for line in written.split(b"\r\n")[:-1]:
        hold(f"a line of ours is one: {line!r:.80}", expression.match(line))


def _sent_upstream(upstream: Upstream, asked: LoginAsked, more: bytes) -> bytes:
    """What a mail server is sent that agrees to everything; in the end it has accepted."""
    opened = upstream.next()
    hold("the server is open", isinstance(opened, Opened))
    event = upstream.login(asked.tag, asked.credentials)
    sent = b""
    for _ in range(4):
        if isinstance(event, Send):
            sent += event.octets
        upstream.receive(more if not isinstance(event, Accepted) else b"")
        event = upstream.next() or event
    return sent


def _imap_again(asked: LoginAsked) -> None:
    """Each way of asking a server says the same as the client."""
    for plain in (b"", b" LITERAL+", b" AUTH=PLAIN", b" AUTH=PLAIN SASL-IR"):
        upstream = imap_upstream.UpstreamLogin()
        upstream.receive(_IMAP_UPSTREAM % plain)
        sent = _sent_upstream(upstream, asked, b"+ \r\n")
        _, found = _read(imap.Dialogue(SECURE), [sent])
        _same_login(asked, found)


def _pop3_again(asked: LoginAsked) -> None:
    tokens = frozenset((b"USER", b"AUTH=XOAUTH2", b"AUTH=OAUTHBEARER"))
    for known, more in ((tokens, b"+OK\r\n"), (tokens | {b"AUTH=PLAIN"}, b"+ \r\n")):
        upstream = pop3_upstream.UpstreamLogin(known=known)
        upstream.receive(b"+OK x\r\n")
        by_token = asked.credentials.mechanism.by_token
        sent = _sent_upstream(upstream, asked, b"+ \r\n" if by_token else more)
        if known is tokens and not by_token and b" " in asked.credentials.user:
            # USER has one word: a server may take the first of two for the name.
            hold("a name of two words is not shown", not sent)
            continue
        _, found = _read(pop3.Dialogue(SECURE), [sent])
        _same_login(asked, found)


def _same_login(asked: LoginAsked, found: list[ClientEvent]) -> None:
    again = _logins(found)
    hold("one login is asked again", len(again) == 1)
    same("its user", asked.credentials.user, again[0].credentials.user)
    same("its secret", asked.credentials.secret, again[0].credentials.secret)
    same("its tag", asked.tag, again[0].tag)


def check_imap(octets: bytes) -> str:
    """See the module."""
    _imap_boundaries(octets)
    _server(octets, _IMAP_UPSTREAM % b"", imap_upstream.UpstreamLogin)
    written, found = _at_every_split(octets, lambda: imap.Dialogue(SECURE))
    _lines_are(_IMAP_LINE, written)
    for asked in _logins(found):
        same("what is shown", repr(asked.credentials), repr(replace(asked.credentials, secret=b"other")))
        _imap_again(asked)
    hold("no login in the clear", not _logins(_read(imap.Dialogue(CLEAR), [octets])[1]))
    return ACCEPTED if _logins(found) else REFUSED


def check_pop3(octets: bytes) -> str:
    """See the module."""
    _pop3_boundaries(octets)
    _server(octets, b"+OK\r\n+OK\r\nUSER\r\n.\r\n", pop3_upstream.UpstreamLogin)
    written, found = _at_every_split(octets, lambda: pop3.Dialogue(SECURE))
    _lines_are(_POP3_LINE, written)
    for asked in _logins(found):
        _pop3_again(asked)
    hold("no login in the clear", not _logins(_read(pop3.Dialogue(CLEAR), [octets])[1]))
    return ACCEPTED if _logins(found) else REFUSED


def _pieces(octets: bytes) -> list[list[tuple[int, int]]]:
    size = len(octets)
    ways = [[(0, size)], [(at, at + 1) for at in range(size)]]
    step = 1 + size // SPLIT_MOST
    return [*ways, *([(0, at), (at, size)] for at in range(1, size, step)), list(pairwise([*range(0, size, 37), size]))]


def _imap_boundaries(octets: bytes) -> None:
    expected = boundaries(ImapReading(), octets)
    for pieces in _pieces(octets):
        follower = imap_responses.ResponseFollower()
        for start, end in pieces:
            follower.follow(octets[start:end])
            same(f"an answer ends at {end}", expected[end], follower.at_boundary)


def _pop3_boundaries(octets: bytes) -> None:
    many_lines = [True, False, True, True]
    expected = boundaries(Pop3Reading(many_lines), octets)
    for pieces in _pieces(octets):
        follower = pop3_responses.ResponseFollower()
        follower.asked(b"RETR 1\r\nNOOP\r\nLIST\r\nTOP 1 0\r\n")
        for start, end in pieces:
            follower.follow(octets[start:end])
            if follower.lost:
                break
            same(f"an answer ends at {end}", expected[end], follower.at_boundary)


def _served(begin: Callable[[], Upstream], pieces: list[bytes]) -> tuple[bytes, list[ServerEvent]]:
    """What a mail server that says this is sent, and what else happens."""
    upstream, sent, found = begin(), b"", list[ServerEvent]()
    for piece in pieces:
        upstream.receive(piece)
        while (event := upstream.next()) is not None:
            if isinstance(event, Opened):
                event = upstream.login(b"a", sasl.Credentials(sasl.Mechanism.PLAIN, b"anna", b"secret"))
            if isinstance(event, StartTls):
                upstream.secured()
            if isinstance(event, Send):
                sent += event.octets
            elif isinstance(event, Accepted):
                # What is behind it depends on how much came at once.
                found.append(replace(event, rest=b""))
            else:
                found.append(event)
    hold("the answer is the last word", not [each for each in found[:-1] if isinstance(each, Accepted | Rejected)])
    return sent, found


def _server(octets: bytes, greeting: bytes, kind: type[Upstream]) -> None:
    """The same octets from a mail server, at any moment of the dialogue with it."""
    for before in (b"", greeting):
        whole = _served(kind, [before, octets])
        for at in range(1, len(octets), 1 + len(octets) // SPLIT_MOST):
            same(f"a server's octets split at {at}", whole, _served(kind, [before, octets[:at], octets[at:]]))
        same(
            "a server's octets one by one",
            whole,
            _served(kind, [before, *(octets[at : at + 1] for at in range(len(octets)))]),
        )
    # With STARTTLS what may be there depends on the moment; here it is only about errors.
    _served(lambda: kind(starttls=True), [octets])


# --- growing


def _message(random: Random) -> tuple[bytes, bytes]:
    """A mechanism and its message, mostly right."""
    user = random.choice((b"anna", b"anna%c7f3", b"j\xc3\xbc", b"a b", b"", b"a\0b", b"a,b=c"))
    token = random.choice((b"t0k3n", b"a.b-c_d~", b"", b"x y"))
    kind = random.choice((b"PLAIN", b"PLAIN", b"XOAUTH2", b"OAUTHBEARER"))
    if kind == b"PLAIN":
        authzid = random.choice((b"", b"", user, b"bert"))
        return kind, b"\0".join((authzid, user, random.choice((b"secret", b"", b"\xff\xfe"))))
    if kind == b"XOAUTH2":
        return kind, b"user=%b\x01auth=Bearer %b\x01\x01" % (user, token)
    name = user.replace(b"=", b"=3D").replace(b",", b"=2C")
    return kind, b"n,a=%b,\x01host=h\x01auth=Bearer %b\x01\x01" % (name, token)


def _authenticated(random: Random, command: bytes) -> bytes:
    if random.random() < 0.2:
        return command + b" LOGIN\r\nYW5uYQ==\r\nc2VjcmV0\r\n"
    kind, message = _message(random)
    between = random.choice((b" ", b" ", b"\r\n"))
    return b"%b %b%b%b\r\n" % (command, kind, between, base64.b64encode(message) or b"=")


def _string(random: Random) -> bytes:
    text = random.choice((b"anna", b"secret", b"anna%c7f3", b"j\xc3\xbc", b"a b", b"", b'"', b"\\", b"{3}", b"a\r\nb"))
    form = random.random()
    if form < 0.4 and text.isalnum():
        return text
    if form < 0.6:
        return b'"%b"' % text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b"{%d%b}\r\n%b" % (len(text), random.choice((b"", b"+")), text)


_IMAP_OTHERS = (
    *(
        b"a NOOP\r\n",
        b"a CAPABILITY\r\n",
        b'a ID ("name" "x")\r\n',
        b"a ID NIL\r\n",
        b"a STARTTLS\r\n",
        b"a LOGOUT\r\n",
    ),
    *(
        b"* 1 FETCH (BODY[] {5}\r\nab\r\nc)\r\n",
        b"* OK x {5}\r\n",
        b"a OK done\r\n",
        b"a NO [LIMIT] x\r\n",
        b'* LIST () "/" "x {5}"\r\n',
    ),
    *(b"* 1 FETCH (X " + b"y" * 60 + b"{3}\r\n} \r\n", b"* 1 FETC\r", b"a X\n", b"a APPEND x {3}\r\nabc\r\n"),
)
_POP3_OTHERS = (
    *(b"CAPA\r\n", b"STLS\r\n", b"QUIT\r\n", b"AUTH\r\n", b"APOP a b\r\n", b"+OK\r\n", b"-ERR no\r\n", b"x\r\n.\r\n"),
    *(b".\r\n", b"+OK 5\r\n..\r\n.\r\n", b"\r\n", b"x\n"),
)


def grow_imap(random: Random) -> bytes:
    """Some commands, and some answers between them."""
    octets = b""
    while not octets or random.random() < 0.5:
        kind = random.random()
        if kind < 0.35:
            octets += b"a%d LOGIN %b %b\r\n" % (random.randrange(9), _string(random), _string(random))
        elif kind < 0.6:
            octets += _authenticated(random, b"b AUTHENTICATE")
        else:
            octets += random.choice(_IMAP_OTHERS)
    return octets


def grow_pop3(random: Random) -> bytes:
    """Some commands, and some answers between them."""
    octets = b""
    while not octets or random.random() < 0.5:
        kind = random.random()
        if kind < 0.35:
            user, secret = (random.choice((b"anna", b"a b", b"j\xc3\xbc", b"", b" ", b"a\0")) for _ in range(2))
            octets += b"USER %b\r\nPASS %b\r\n" % (user, secret)
        elif kind < 0.6:
            octets += _authenticated(random, b"AUTH")
        else:
            octets += random.choice(_POP3_OTHERS)
    return octets


IMAP = Target(
    "imap",
    "commands until the login at any split, replayed; where answers end, by whole lines",
    check_imap,
    grow_imap,
    (
        *(b"\r\n", b"{3}\r\n", b"{3+}\r\n", b"{0}\r\n", b"{9000}", b"}", b'"', b"\\", b"* ", b"OK ", b"LOGIN ", b"a "),
        *(b"AUTHENTICATE ", b"PLAIN ", b"* 1 FETCH (", b"+ ", b"*", b"=", b"\r", b"\n", b"\0", b"(", b")", b"NIL"),
    ),
    2048,
)
POP3 = Target(
    "pop3",
    "commands until the login at any split, replayed; where answers end, by whole lines",
    check_pop3,
    grow_pop3,
    (
        *(
            b"\r\n",
            b".\r\n",
            b"\r\n.\r\n",
            b"USER ",
            b"PASS ",
            b"AUTH ",
            b"PLAIN ",
            b"+OK",
            b"-ERR ",
            b"+ ",
            b"*",
            b"=",
        ),
        *(b"\r", b"\n", b"\0", b".", b"CAPA", b"STLS"),
    ),
    2048,
)
