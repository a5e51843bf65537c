"""A notice that Postfix takes and cannot deliver: its report comes back, is found by IMAP in Dovecot, and counts."""

import asyncio
import ssl
import time

import pytest

from gateway.domain.notice import NoticeKind, NoticeState
from gateway.notices.bounce_mailbox import BounceMailbox, BounceSettings
from gateway.notices.bouncing import Bouncing
from gateway.ports.store import Person
from gateway.storage.memory import MemoryStore
from tests.live.mail_servers import PASSWORD
from tests.live.notices.test_notices_by_postfix import SENDER, delivery
from tests.live.smtp.postfix import DOMAIN, Postfix
from tests.notices.receiving import Manners, receiving_server
from tests.notices.stage import KEY, Clock, fill, outbox, planned, until_idle

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

WITHIN_SECONDS = 30.0


async def test_a_notice_that_comes_back_is_bounced_and_the_others_are_sent(postfix: Postfix) -> None:
    people = [
        Person("gone", address="gone@elsewhere.example"),
        Person(f"there.bounces@{DOMAIN}"),
        Person("moved@elsewhere.example"),
    ]
    store, clock = MemoryStore(), Clock()
    await fill(store, people)
    await planned(store, people)
    box = outbox(store, delivery(postfix, "starttls"), clock)
    refused = frozenset({"gone@elsewhere.example", "moved@elsewhere.example"})
    async with receiving_server(Manners(refused=refused), postfix.ports["mx"]):
        await until_idle(box)
        await box._delivery.close()
        async with store.read() as reading:
            assert await reading.notice_counts(1, NoticeKind.CUT) == {"sent": 3}
        told = BounceSettings("127.0.0.1", postfix.ports["imap"], "none", SENDER, PASSWORD)
        mailbox = BounceMailbox(told, ssl.create_default_context())
        bouncing = Bouncing(store, mailbox, KEY)
        give_up_at = time.monotonic() + WITHIN_SECONDS
        while time.monotonic() < give_up_at:
            await bouncing.step()
            async with store.read() as reading:
                back = await reading.notices(1, (NoticeState.BOUNCED,))
            if len(back) == 2:
                break
            await asyncio.sleep(0.2)
    mailbox.close()
    assert sorted(each.reader.person_id for each in back) == ["gone", "moved@elsewhere.example"], bouncing.trouble
    assert {each.answer for each in back} == {"came back: 5.1.1 550 5.1.1 no such user"}
