"""A token that names another owner than the name beside it: both answer, at the login, at MAIL and in between."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from tests.live.tokens import token
from tests.support.fronted import settled, until
from tests.support.submission_server import SubmissionServer
from tests.support.submitted import ANNA, SmtpClient, Submitted, submitted

BERT = "bert@corp.example"
MAIL = b"MAIL FROM:<bert@corp.example>"
TOKEN = token(ANNA)


@pytest.fixture
async def front(server: SubmissionServer) -> AsyncIterator[Submitted]:
    """Before a mail server that knows Anna's token and does not look at names."""
    server.mechanisms, server.passwords = "PLAIN XOAUTH2", (TOKEN,)
    async with submitted(server.url) as front:
        front.clean(BERT)
        yield front


async def logged_in(front: Submitted) -> SmtpClient:
    """As Bert, by Anna's token."""
    client = await front.client()
    await client.greeted()
    response = base64.b64encode(f"user={BERT}\x01auth=Bearer {TOKEN}\x01\x01".encode())
    assert (await client.ask(b"AUTH XOAUTH2 " + response))[:3] == b"235"
    return client


async def test_nobody_hides_behind_a_colleagues_name(front: Submitted, server: SubmissionServer) -> None:
    front.dirty(ANNA)
    client = await logged_in(front)
    assert (await client.ask(MAIL))[:9] == b"550 5.7.1"
    assert "MAIL" not in server.verbs()
    assert front.logins("refused") == 1


@pytest.mark.parametrize("turning", [ANNA, BERT])
async def test_either_of_them_ends_the_session(front: Submitted, turning: str) -> None:
    front.clean(ANNA)
    client = await logged_in(front)
    assert (await client.ask(MAIL))[:3] == b"250"
    assert sorted(each.request.login for each in front.decision.sessions) == [ANNA, BERT]
    front.dirty(turning)
    assert (await client.reply())[:9] == b"421 4.7.0"
    assert await client.closed()
    await until(lambda: front.decision.sessions.count == 0)


async def test_a_change_of_one_that_is_not_read_when_the_others_record_is(
    front: Submitted, server: SubmissionServer
) -> None:
    """What was known of the first before that change begins no message."""
    front.clean(ANNA)
    client = await logged_in(front)
    assert (await client.ask(MAIL))[:3] == b"250"
    assert (await client.ask(b"RCPT TO:<carl@corp.example>"))[:3] == b"250"
    front.evidence.gates = {ANNA: asyncio.Event(), BERT: asyncio.Event()}
    reads = front.evidence.reads
    front.cache.forget(ANNA)
    client.write(b"DATA\r\n")
    await until(lambda: front.evidence.reads == reads + 1)
    front.dirty(BERT)
    front.evidence.gates[ANNA].set()
    await until(lambda: front.cache.entries[ANNA].record is not None)
    await settled()
    front.evidence.gates[BERT].set()
    assert (await client.reply())[:9] == b"550 5.7.1"
    assert (await client.reply())[:9] == b"421 4.7.0"
    assert await client.closed()
    assert "DATA" not in server.verbs()
