"""One octet more, less or other at every place of a phone's request: whoever accepts it accepts it in one meaning.

What is still accepted must be read alike step by step and the short way, and by h11 and the parser of Node.js; so
must what is written anew from it. Chunked bodies are treated alike.
"""

from collections.abc import Iterator

import pytest

from gateway.domain.identity import IdentityRules
from gateway.protocols.activesync.identify import Asked, identify
from gateway.protocols.activesync.usual import forwarded_usual, recognise, usual_request
from gateway.protocols.http.chunked import BadChunk, ChunkedReader
from gateway.protocols.http.request_head import BadRequest, RequestHead, parse_request
from gateway.proxies.eas_forward import forwarded
from tests.hostile.case import SYNC, chunked, chunks, framed, usual
from tests.protocols.http.peers import NotAccepted, by_h11_request, by_httptools_request

OCTETS = b"\0\t\n\x0b\r\x1f !\"#%&'()*+,-./019:;<=?@AZ[\\]_az{|}~\x7f\x80\x85\xa0\xff"
PAIRS = (
    b"\r\n",
    b"\n\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"\n\r\n",
    b"\r\r\n",
    b": ",
    b" :",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nContent-Length: 1",
)
RULES = IdentityRules()


def mutations(octets: bytes, until: int) -> Iterator[bytes]:
    """One octet or a few put in, one taken away, one replaced, one doubled, at each of the first places."""
    for place in range(until):
        before, behind = octets[:place], octets[place:]
        yield before + behind[1:]
        yield before + behind[:1] + behind
        for octet in OCTETS:
            yield before + bytes((octet,)) + behind
            yield before + bytes((octet,)) + behind[1:]
        for pair in PAIRS:
            yield before + pair + behind


def understood(octets: bytes) -> tuple[RequestHead, bytes] | None:
    """Head and body as the gateway reads them step by step; None: refused, or not whole, or more than one."""
    end = octets.find(b"\r\n\r\n")
    if end < 0:
        return None
    try:
        head, rest = parse_request(octets[: end + 4]), octets[end + 4 :]
        if not head.chunked:
            return (head, rest) if len(rest) == head.content_length else None
        reader = ChunkedReader()
        content, behind = reader.feed(rest)
    except (BadRequest, BadChunk):
        return None
    return (head, content) if reader.done and not behind else None


def agree(octets: bytes, head: RequestHead, body: bytes, *, strictly: bool = True) -> None:
    """h11 and httptools find the same method, target and body in the octets, and the message ends with them.

    Not ``strictly``: they may refuse, as they do with methods and trailers that they do not know.
    """
    target = head.path if head.query is None else head.path + b"?" + head.query
    for read in (by_h11_request, by_httptools_request):
        try:
            seen = read(octets)
        except NotAccepted:
            assert not strictly, octets
            continue
        assert (seen.method, seen.target, seen.body, seen.whole) == (head.method, target, body, True), octets


def sent_on(head: RequestHead, body: bytes) -> bytes | None:
    """What goes to the mail server; None: it is answered here."""
    asked = identify(head, "127.0.0.1", RULES)
    return forwarded(asked, head, body, complete=True)[0] if isinstance(asked, Asked) else None


def sent_the_short_way(octets: bytes) -> bytes | None:
    """The same by the short way; None: it does not take them."""
    recognised = recognise(octets)
    if recognised is None or usual_request(recognised) is None:
        return None
    return forwarded_usual(recognised[0], b"X-Forwarded-For: 127.0.0.1\r\n\r\n")


@pytest.mark.parametrize(
    "octets", [usual(), framed(b"Transfer-Encoding: chunked", body=chunks(SYNC))], ids=["length", "chunked"]
)
def test_a_head_with_one_octet_otherwise(octets: bytes) -> None:
    accepted = passed_on = usual_ones = 0
    for mutated in mutations(octets, octets.index(b"\r\n\r\n") + 4):
        found, by_short_way = understood(mutated), sent_the_short_way(mutated)
        if found is None:
            assert by_short_way is None, mutated
            continue
        accepted += 1
        head, body = found
        agree(mutated, head, body, strictly=False)
        sent = sent_on(head, body)
        if sent is None:
            assert by_short_way is None, mutated
            continue
        passed_on += 1
        step_by_step = read_again(sent)
        assert step_by_step[1] == body
        if by_short_way is not None:
            usual_ones += 1
            assert deciding(*read_again(by_short_way)) == deciding(*step_by_step), mutated
    assert accepted > 1000
    assert passed_on > 500
    assert bool(usual_ones) is (b"chunked" not in octets)


def read_again(sent: bytes) -> tuple[RequestHead, bytes]:
    """What goes to the mail server, as everybody reads it."""
    found = understood(sent)
    assert found is not None, sent
    agree(sent, *found)
    return found


def deciding(head: RequestHead, body: bytes) -> tuple[object, ...]:
    """All of a request but what says how long it is and that the connection stays."""
    fields = sorted((name.lower(), value) for name, value in head.fields)
    kept = [(name, value) for name, value in fields if name not in (b"content-length", b"connection")]
    return head.method, head.path, head.query, kept, body


def test_a_chunked_body_with_one_octet_otherwise() -> None:
    body = b'14;a=b;c="d"\r\n' + SYNC + b"\r\n3\r\nabc\r\n0\r\nX-A: b\r\n\r\n"
    accepted = 0
    octets = chunked(body)
    start = octets.index(b"\r\n\r\n") + 4
    for mutated in mutations(body, len(body)):
        found = understood(octets[:start] + mutated)
        if found is not None:
            accepted += 1
            agree(octets[:start] + mutated, *found, strictly=False)
    assert accepted > 100
