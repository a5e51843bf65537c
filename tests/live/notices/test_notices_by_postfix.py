"""Notices and a correction by a real Postfix into what a real Dovecot shows: once, in a thread, in every script."""

import asyncio
import re
from dataclasses import replace

import pytest

from gateway.domain.change import State
from gateway.domain.notice import NoticeKind
from gateway.notices.smtp import SmtpDelivery
from gateway.notices.smtp_settings import SmtpSettings
from gateway.notices.taking_back import TakingBack
from gateway.ports.notices import DeliveryUnusable
from gateway.ports.store import Person, Store, Writing
from gateway.storage.memory import MemoryStore
from tests.live.mail_servers import PASSWORD
from tests.live.notices.arrived import threads, until
from tests.live.smtp.postfix import DOMAIN, Postfix
from tests.notices.stage import Clock, fill, outbox, planned, until_idle

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

SENDER = f"notices@{DOMAIN}"


def delivery(postfix: Postfix, security: str, password: str = PASSWORD) -> SmtpDelivery:
    """As the settings of a site would make it."""
    port = postfix.ports["smtps" if security == "tls" else "smtp"]
    settings = SmtpSettings("127.0.0.1", port, security, username=SENDER, password=password)  # type: ignore[arg-type]
    return SmtpDelivery(settings, postfix.certificates.trust())


def crowd(way: str) -> list[Person]:
    """Five people of four languages, one with an address beyond ASCII."""
    return [
        Person(f"anna.{way}@{DOMAIN}", language="de", display_name="Änna Groß"),
        Person(f"bert.{way}@{DOMAIN}", language="en", display_name="Bert"),
        Person(f"carmen.{way}@{DOMAIN}", language="es", display_name="Carmen Ñandú"),
        Person(f"dimitra.{way}@{DOMAIN}", language="el", display_name="Δήμητρα"),
        Person(f"zoë.{way}@{DOMAIN}", language="de", display_name="Zoë"),
    ]


async def withdraw(store: Store, clock: Clock) -> None:
    async def work(writing: Writing) -> None:
        present = await writing.policy_change(1)
        assert present is not None
        change = replace(present, state=State.WITHDRAWN)
        await writing.put_policy_change(change, clock())
        await TakingBack(clock).withdrawn(writing, change, "sent in error")

    await store.write(work)


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_once_each_and_the_correction_in_the_same_thread(postfix: Postfix, security: str) -> None:
    store, clock, people = MemoryStore(), Clock(), crowd(security)
    addresses = [each.person_id for each in people]
    await fill(store, people)
    await planned(store, people)
    box = outbox(store, delivery(postfix, security), clock)
    await until_idle(box)
    await withdraw(store, clock)
    await until_idle(box)
    await box._delivery.close()
    async with store.read() as reading:
        for kind in (NoticeKind.CUT, NoticeKind.CORRECTION):
            assert await reading.notice_counts(1, kind) == {"sent": len(people)}
    found = await until(postfix, 2 * len(people), addresses)
    # Postfix delivers in no order of its own.
    pairs = {address: sorted(mails, key=lambda each: "In-Reply-To" in each) for address, mails in found.items()}
    assert {address: len(mails) for address, mails in pairs.items()} == dict.fromkeys(addresses, 2)
    together = threads(postfix)
    for person in people:
        first, correction = pairs[person.person_id]
        assert correction["In-Reply-To"] == correction["References"] == first["Message-ID"]
        assert correction["Subject"] == f"Re: {first['Subject']}"
        assert [first["Message-ID"], correction["Message-ID"]] in together
        assert str(first["To"]) == f"{person.display_name} <{person.person_id}>"
        assert first["From"].addresses[0].addr_spec == SENDER
        assert first["Return-Path"] == f"<{SENDER}>"
        assert first["Auto-Submitted"] == "auto-generated"
        plain, html = first.iter_parts()
        assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    german, _ = pairs[people[0].person_id]
    assert next(german.iter_parts()).get_content().startswith("Auf Pixel 9 kommen zurzeit keine Firmen-E-Mails an.")
    assert german["Subject"] == "E-Mail-Zugang auf Ihrem Telefon (Hinweis GP-1)"
    assert pairs[people[3].person_id][0]["Content-Language"] == "en"
    protocol = "ESMTPSA|UTF8SMTPSA"
    assert re.search(rf"with (?:{protocol})", str(german["Received"]))


async def test_check(postfix: Postfix) -> None:
    right = delivery(postfix, "tls")
    assert (await right.check()).endswith(f"answers with TLS, the login as {SENDER} is accepted")
    await right.close()


async def test_a_wrong_password_is_shown_once(postfix: Postfix) -> None:
    # The last one: Dovecot lets whoever comes from here wait for seconds afterwards.
    wrong = delivery(postfix, "starttls", "not-it")
    for _ in range(3):
        with pytest.raises(DeliveryUnusable, match=f"the login as {SENDER} was refused: 535"):
            await wrong.check()
    await wrong.close()
    await asyncio.to_thread(postfix.until_said, "authentication failed")
    assert postfix.said().count("authentication failed") == 1
