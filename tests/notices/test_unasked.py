"""What a mail server says unasked is never taken for an answer: what that rests on in aiosmtplib, and without it."""

import asyncio

import pytest
from aiosmtplib.protocol import SMTPProtocol

from gateway.notices import smtp_session
from gateway.ports.notices import DeliveryUnusable, Outcome
from tests.notices.letters import letter, yes
from tests.notices.scripted import scripted_server
from tests.notices.stage import smtp

CHANGED = (
    "aiosmtplib keeps what comes behind an answer elsewhere now: see says_more in gateway/notices/smtp_session.py and "
    "_says_more in gateway/proxies/smtp/upstream.py, and look whether it gives it to the next command"
)


async def test_the_library_shows_what_came_behind_an_answer_and_would_take_it_for_the_next() -> None:
    protocol = SMTPProtocol(asyncio.get_running_loop())
    protocol.connection_made(asyncio.Transport())
    protocol.data_received(b"220 hello\r\n250 ahead\r\n")
    assert (await protocol.read_response(1.0)).code == 220
    assert bytes(getattr(protocol, smtp_session.PENDING, b"")) == b"250 ahead\r\n", CHANGED
    # Why it must be looked at: the next answer is not that which comes next.
    reading = asyncio.create_task(protocol.read_response(1.0))
    await asyncio.sleep(0)
    protocol.data_received(b"554 refused\r\n")
    assert (await reading).code == 250, "what is ahead is dropped now: says_more may go"


async def test_a_version_that_does_not_show_it_sends_nothing_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_session, "PENDING", "_gone")
    async with scripted_server() as server:
        delivery = smtp(server.port)
        attempt = await delivery.deliver(letter(), yes)
        assert attempt.outcome is Outcome.CHANNEL_BROKEN
        assert attempt.words.startswith("this version of aiosmtplib (")
        assert not server.bodies
        with pytest.raises(DeliveryUnusable, match="install the one that Gatepost was released with"):
            await delivery.check()
