"""Wherever a cut falls in a stream of answers: a last word stands between two of them, and never within one."""

import asyncio
from random import Random

import pytest

from tests.proxies.mail.conversations import ANNA, logged_in
from tests.support.boundaries import ImapReading, boundaries
from tests.support.mail_fronted import MailFronted, Peer, ScriptedServer

BYE = b"* BYE [ALERT] "
CUTS = 25


def answers(random: Random) -> bytes:
    """Lines and mails, some of which look like each other."""
    found = b""
    for number in range(random.randrange(5, 40)):
        literal = random.choice((b"* BYE [ALERT] no\r\n", b"x} {5}\r\n", b"a OK done\r\n", b"")) * random.randrange(40)
        found += random.choice(
            (
                b"* %d FETCH (BODY[] {%d}\r\n%b FLAGS (\\Seen))\r\n" % (number + 1, len(literal), literal),
                b'* %d FETCH (ENVELOPE ("{7}" NIL))\r\n' % (number + 1),
                b"k%d NO Mailbox doesn't exist: x{5}\r\n" % number,
                b"* OK Still here\r\n",
                b"* VANISHED 1:%d\r\n" % (number + 1),
            )
        )
    return found


@pytest.mark.parametrize("seed", range(CUTS))
async def test_a_cut_at_any_moment(imap: MailFronted, server: ScriptedServer, seed: int) -> None:
    random = Random(seed)
    stream = answers(random)
    imap.clean(ANNA)
    await imap.decision.cache.load(ANNA)
    client, peer = await logged_in(imap, server)
    at_boundary = boundaries(ImapReading(), stream)
    sending = asyncio.create_task(pour(peer, stream, at_boundary, random))
    for _ in range(random.randrange(30)):
        await asyncio.sleep(0)
    imap.dirty(ANNA)
    found = await client.rest()
    await sending
    if found.endswith(b"(reset)"):
        assert stream.startswith(found.removesuffix(b"(reset)"))
    else:
        passed, word, _ = found.rpartition(BYE)
        assert word == BYE
        assert stream.startswith(passed)
        assert at_boundary[len(passed)]


async def pour(peer: Peer, stream: bytes, at_boundary: list[bool], random: Random) -> None:
    """Send in pieces, some of them whole answers, until the gateway has hung up."""
    at = 0
    while at < len(stream):
        size = random.choice((1, 2, 3, 7, 40, 300))
        if random.random() < 0.7:
            size = at_boundary.index(True, at + 1) - at
        try:
            peer.send(stream[at : at + size])
            await peer.writer.drain()
        except (OSError, RuntimeError):
            return
        at += size
        await asyncio.sleep(0)
