"""Chunked bodies: read alike at every split, and as llhttp and h11 read them."""

from random import Random

from gateway.protocols.http.chunked import LAST_CHUNK, BadChunk, ChunkedReader, chunk
from tests.fuzz import phrases
from tests.fuzz.heads import NEXT, NEXT_READ
from tests.fuzz.http_peers import by_h11, by_llhttp
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
_INCOMPLETE = "waits for more"
SPLIT_MOST = 96
"""Octets of an input of which every split is tried; of longer ones every so many."""

Read = tuple[str, bytes, bytes]


def check(octets: bytes) -> str:
    """See the module."""
    ours = _read((octets,))
    for at in range(1, len(octets), 1 + len(octets) // SPLIT_MOST):
        same(f"split at {at}", ours, _read((octets[:at], octets[at:])))
    same("octet by octet", ours, _read(tuple(octets[at : at + 1] for at in range(len(octets)))))
    state, content, rest = ours
    if state == ACCEPTED:
        _peers_agree(octets[: len(octets) - len(rest)], content)
        # Written anew, it is the same content.
        anew = (chunk(content) if content else b"") + LAST_CHUNK
        same("written anew", (ACCEPTED, content, b""), _read((anew,)))
        return ACCEPTED
    return _of_the_refused(octets, state)


def _read(pieces: tuple[bytes, ...]) -> Read:
    reader = ChunkedReader()
    content = b""
    try:
        for number, piece in enumerate(pieces):
            got, rest = reader.feed(piece)
            content += got
            if reader.done:
                return ACCEPTED, content, rest + b"".join(pieces[number + 1 :])
    except BadChunk:
        return REFUSED, b"", b""
    return _INCOMPLETE, content, b""


def _peers_agree(octets: bytes, content: bytes) -> None:
    for peer in (by_llhttp, by_h11):
        reading = peer(HEAD + octets + NEXT)
        hold(f"{peer.__name__} refuses the body: {reading.error}", reading.messages)
        same(f"{peer.__name__} on the content", content, reading.messages[0].body)
        same(f"{peer.__name__} on what follows", [NEXT_READ], reading.messages[1:])


def _of_the_refused(octets: bytes, state: str) -> str:
    """Both peers take what we refuse; or we wait, and then they must not have seen an end."""
    readings = [by_llhttp(HEAD + octets), by_h11(HEAD + octets)]
    if not all(reading.messages for reading in readings):
        return REFUSED
    hold("both peers see an end where we wait for more", state == REFUSED)
    return "stricter: chunk"


def grow(random: Random) -> bytes:
    """A small content in chunks."""
    content = bytes(random.choice(b"hello\r\n0;") for _ in range(int(random.random() ** 2 * 30)))
    return phrases.chunks(random, content) + random.choice((b"", b"", b"GET", b"\r\n"))


TARGET = Target(
    "chunks",
    "chunked bodies at every split with llhttp and h11",
    check,
    grow,
    (b"0\r\n\r\n", b"5\r\nhello\r\n", b";a=b", b"FFFFFFFF", b"100000000", b"0000000005", b"A: b\r\n", b"\r\n", b";"),
    600,
)
