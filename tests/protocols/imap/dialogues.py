"""Scripts for the dialogue before login: octets in, what is written out, with a proxy that answers by rote."""

from collections.abc import Iterable
from itertools import pairwise

from gateway.protocols.imap.before_login import Dialogue
from gateway.protocols.login import ClientEvent, Ended, LoginAsked, Offer, Said
from gateway.protocols.sasl import Mechanism

SECURE = Offer(tuple(Mechanism))
CLEAR = Offer(starttls=True)


def events(octets: bytes, cuts: Iterable[int] = (), offer: Offer = SECURE) -> tuple[bytes, list[ClientEvent]]:
    """All that is written (texts of events included), and the events that are more than a text.

    A login that is asked about is refused by ``tag NO no`` and CRLF.
    """
    dialogue, written, found = Dialogue(offer), b"", list[ClientEvent]()
    for start, end in pairwise([0, *cuts, len(octets)]):
        dialogue.receive(octets[start:end])
        while (event := dialogue.next()) is not None:
            if not isinstance(event, Said):
                found.append(event)
            written += event.octets
            if isinstance(event, LoginAsked):
                answer = dialogue.refuse(b"%b NO no\r\n" % event.tag)
                written += answer.octets
                found += [answer] if isinstance(answer, Ended) else []
    return written, found


def said(octets: bytes, offer: Offer = SECURE) -> bytes:
    """All that is written."""
    return events(octets, offer=offer)[0]
