"""Request heads: what we accept, llhttp and h11 accept too and mean the same by it, also as we write it anew.

The input is a head; a body that fits is put behind it, and another request behind that: who sees that one begin
elsewhere has another idea of where the body ends.
"""

from random import Random

from gateway.domain.identity import IdentityRules
from gateway.protocols.activesync.identify import Asked, identify
from gateway.protocols.answer import Answer
from gateway.protocols.http.chunked import LAST_CHUNK, chunk
from gateway.protocols.http.request_head import BadRequest, RequestHead, parse_request
from gateway.proxies.eas_forward import forwarded
from gateway.proxies.forwarding import more
from tests.fuzz import phrases
from tests.fuzz.http_peers import Message, by_h11, by_llhttp, fields_of, stays_as_long
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

ADDRESS = "192.0.2.1"
RULES = IdentityRules("corp.example", {"corp": "corp.example"})
NEXT = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"
NEXT_READ = Message(b"GET", b"/next", b"1.1", ((b"host", b"next"),), b"", True)
BODY_MOST = 2000
known_method = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PROPFIND", b"REPORT"))
"""llhttp refuses methods it has never heard of, and CONNECT means something else."""
_REWRITTEN = (b"host", b"content-length", b"transfer-encoding")


def check(octets: bytes) -> str:
    """See the module."""
    try:
        ours = parse_request(octets)
    except BadRequest as error:
        return f"stricter: {error.reason}" if _peers_accept(octets) else REFUSED
    body = b"hello" if ours.chunked else bytes(min(ours.content_length, BODY_MOST))
    if ours.content_length <= BODY_MOST:
        _read_alike(ours, octets, body)
    asked = identify(ours, ADDRESS, RULES)
    if isinstance(asked, Asked):
        _forwarded_alike(asked, ours, body)
    else:
        hold("an answer of ours has a status of failure", isinstance(asked, Answer) and asked.status >= 400)
    return ACCEPTED


def _peers_accept(octets: bytes) -> bool:
    """Whether both read one head that ends where the octets do."""
    return octets.endswith(b"\r\n\r\n") and by_llhttp(octets).heads == 1 and by_h11(octets).heads == 1


def _read_alike(ours: RequestHead, octets: bytes, body: bytes) -> None:
    method, target = ours.method, ours.path if ours.query is None else ours.path + b"?" + ours.query
    if method not in known_method:
        octets, method = b"POST" + octets[len(method) :], b"POST"
    sent = octets + (chunk(body) + LAST_CHUNK if ours.chunked else body)
    version = b"1.1" if ours.modern else b"1.0"
    meant = Message(method, target, version, fields_of(ours.fields), body, ours.keep_alive)
    for peer in (by_llhttp, by_h11):
        reading = peer(sent + NEXT)
        hold(f"{peer.__name__} refuses the head: {reading.error}", reading.messages)
        first = reading.messages[0]
        # Whoever keeps a connection that the other side ends loses nothing; the reverse would be a hang.
        hold(f"{peer.__name__} closes where we stay", stays_as_long(first, meant) or reading.upgraded)
        if reading.upgraded:
            # RFC 9110 §7.8 lets a server ignore Upgrade, as we do; neither line goes on to the mail server.
            first = first._replace(body=body)
        same(f"{peer.__name__} on the head", meant, first._replace(keep_alive=ours.keep_alive))
        if ours.keep_alive and not reading.ended:
            same(f"{peer.__name__} on what follows", [NEXT_READ], reading.messages[1:])


def _forwarded_alike(asked: Asked, ours: RequestHead, body: bytes) -> None:
    """As it goes to the mail server: the whole body at once, and where it has chunks also in pieces."""
    for complete in (True, False):
        if not complete and (not ours.chunked or asked.version is None):
            continue
        # Several requests a connection: the head is built from the parsed one each time, so the fields are listed anew.
        sent, chunked = forwarded(asked, ours, body, complete=complete)
        if chunked:
            sent += more(b" and more", last=False) + more(b"", last=True)
        content = body + b" and more" if chunked else body
        passed(sent, asked, ours, content)


def passed(sent: bytes, asked: Asked, ours: RequestHead, content: bytes) -> None:
    """Hold what is sent to the mail server against what was asked."""
    if not ours.chunked and ours.content_length > BODY_MOST:
        return
    target = b"/Microsoft-Server-ActiveSync"
    if ours.query is not None:
        target += b"?" + asked.query.render()
    wanted = dict(fields_of(asked.fields or []))
    for peer in (by_llhttp, by_h11):
        reading = peer(sent + NEXT)
        hold(f"{peer.__name__} refuses what we forward: {reading.error}", len(reading.messages) == 2)
        first, second = reading.messages
        same(f"{peer.__name__} on what follows the forwarded", NEXT_READ, second)
        same(f"{peer.__name__} on the forwarded line", (ours.method, target), (first.method, first.target))
        same(f"{peer.__name__} on the forwarded body", content, first.body)
        hold(f"{peer.__name__} keeps the mail server's connection", first.keep_alive)
        named = [name for name, _ in first.fields]
        hold("one Host, one framing", all(named.count(name) <= 1 for name in _REWRITTEN))
        hold("not two framings", not {b"content-length", b"transfer-encoding"} <= set(named))
        same("the forwarded Host", dict(first.fields)[b"host"], ours.named[b"host"])
        passing = {name: value for name, value in first.fields if name not in _REWRITTEN}
        # The short way keeps it: it says the same of the next hop.
        if passing.get(b"connection", b"").lower() == b"keep-alive":
            del passing[b"connection"]
        same("the forwarded fields", wanted, passing)
    again = parse_request(sent[: sent.index(b"\r\n\r\n") + 4])
    hold(
        "what we forward we would accept",
        again.method == ours.method and again.query == (target.partition(b"?")[2] or None),
    )


def grow(random: Random) -> bytes:
    """A head; its length is never looked at."""
    framing = b"Content-Length: 5" if random.random() < 0.8 else b"Transfer-Encoding: chunked"
    if random.random() < 0.15:
        framing = random.choice(phrases.ODD_FRAMING)
    return phrases.head(random, framing)


TARGET = Target("heads", "request heads with llhttp and h11", check, grow, phrases.WORDS)
