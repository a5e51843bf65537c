"""Phones that wait for mail: what SOGo has to say comes through when there is mail."""

import asyncio

import pytest

from tests.live.conftest import WAITERS, WAYS, MakePhone, Way
from tests.live.conversation import DIALECTS
from tests.live.site import Site
from tests.support.phone import understood
from tests.support.phone_commands import Mailbox, ping

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHANGES = "2"
"""Ping Status ([MS-ASCMD] 2.2.3.177.11)."""


@pytest.mark.parametrize("way", WAYS)
async def test_a_ping_is_answered_when_mail_arrives(
    site: Site, ways: dict[str, Way], phone: MakePhone, way: str
) -> None:
    # In every version at the same time.
    user = WAITERS["Ping", way]
    mailboxes = []
    for dialect in DIALECTS:
        waits = phone(ways[way].account(user, f"wait{way}{dialect.name}", dialect))
        mailboxes.append(Mailbox(waits))
        await mailboxes[-1].fill()
    pings = [asyncio.create_task(ping(mailbox.phone, mailbox.folder)) for mailbox in mailboxes]
    await site.until_waiting(user, len(mailboxes))
    assert not any(each.done() for each in pings)
    site.mail.send(user, "Wake up.")
    for mailbox, answer in zip(mailboxes, await asyncio.gather(*pings), strict=True):
        told = understood(answer)
        assert (told.text("Ping:Status"), told.text("Ping:Folder")) == (CHANGES, mailbox.folder)
        await mailbox.sync()
        assert mailbox.subjects() == ["Wake up."]


@pytest.mark.parametrize("way", WAYS)
async def test_a_sync_is_answered_when_mail_arrives(
    site: Site, ways: dict[str, Way], phone: MakePhone, way: str
) -> None:
    """From 14.0 on; the minutes of 12.1 SOGo does not wait."""
    user = WAITERS["Sync", way]
    mailboxes = [
        Mailbox(phone(ways[way].account(user, f"sync{way}{dialect.name}", dialect)))
        for dialect in DIALECTS
        if float(dialect.version) >= 14.0
    ]
    for mailbox in mailboxes:
        await mailbox.fill()
    syncs = [asyncio.create_task(mailbox.sync(minutes=10)) for mailbox in mailboxes]
    await site.until_waiting(user, len(mailboxes))
    assert not any(each.done() for each in syncs)
    site.mail.send(user, "Wake up.")
    await asyncio.gather(*syncs)
    assert [mailbox.subjects() for mailbox in mailboxes] == [["Wake up."]] * len(mailboxes)
