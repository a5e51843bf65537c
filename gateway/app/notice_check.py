"""``gatepost check`` of the way of notices: connection, TLS and login, at Exchange the mailbox too; nothing is sent.

The mailbox that bounces come back to is opened, and nothing in it is marked.
"""

import asyncio

from gateway.app.notice_way import bounce_mailbox_of, delivery_of, place_of
from gateway.domain.errors import DomainError
from gateway.notices.bounce_mailbox import MailboxUnusable
from gateway.ports.notices import DeliveryUnusable
from gateway.settings import Settings

CONNECT_SECONDS = 8.0
ANSWER_SECONDS = 25.0
HINT = "is that its address, does it run, may this machine reach it?"


async def notice_ways_found(settings: Settings) -> list[tuple[str, str, str]]:
    """What was looked at, how it stands, and a sentence; nothing where no notices are sent."""
    told = settings.notices
    if not (told.sender and told.server):
        return []
    return [await notice_way_found(settings), *([await bounces_found(settings)] if told.bounces else [])]


async def notice_way_found(settings: Settings) -> tuple[str, str, str]:
    """The server that takes notices."""
    what = f"notices {place_of(settings)}"
    try:
        delivery = delivery_of(settings, CONNECT_SECONDS)
    except DomainError as error:
        return what, "failed", str(error)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return what, "ok", await delivery.check()
    except DeliveryUnusable as error:
        return what, "failed", f"[notices] server {error}"
    except TimeoutError:
        return what, "failed", f"[notices] server {settings.notices.server}: no answer in time: {HINT}"
    finally:
        await delivery.close()


async def bounces_found(settings: Settings) -> tuple[str, str, str]:
    """The mailbox of bounces."""
    try:
        mailbox = bounce_mailbox_of(settings)
    except DomainError as error:
        return "bounces", "failed", str(error)
    if mailbox is None:
        return "bounces", "ok", "are not read"
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return "bounces", "ok", await mailbox.check()
    except MailboxUnusable as error:
        return "bounces", "failed", f"[notices] bounces {error}"
    except TimeoutError:
        return "bounces", "failed", f"[notices] bounces {settings.notices.bounces}: no answer in time: {HINT}"
    finally:
        mailbox.close()
