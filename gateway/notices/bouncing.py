"""Bounces taken into account: a notice that came back counts as undelivered, and is sent again by a person's word only.

Anybody can write to the mailbox. So a report counts where it holds the notice's token, which is not to be guessed, and
changes nothing but that notice. Reports that are none of ours, and what people write, stay unread. What is wrong with
one message holds up no other: it is left out. A store that is away holds all of them up, and nothing is lost.
"""

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import Enum

import structlog

from gateway.domain.notice import Notice, NoticeState, moved, person_token
from gateway.notices.bounce_mailbox import BounceMailbox, MailboxUnusable, Unread
from gateway.notices.bounce_reports import Bounce, bounces_in
from gateway.ports.store import Conflict, Reading, Store, StoreUnavailable, Unstorable

log = structlog.get_logger()

POLL_SECONDS = 120.0
KNOWN_AT_MOST = 20_000
"""Messages that stay unread and are not looked at again."""
PAGE = 1_000
PAGES_AT_MOST = 100
"""Of a change's notices looked through in one go for a person whose address is another than the login."""
MAY_COME_BACK = (NoticeState.SENT, NoticeState.UNCERTAIN)


class _End(Enum):
    """What became of a message."""

    DONE = "done"
    LATER = "later"
    NOT_OURS = "not ours"


class Bouncing:
    """One, of the control process that holds the lease."""

    def __init__(
        self, store: Store, mailbox: BounceMailbox, key: bytes, count: Callable[[str], None] = lambda outcome: None
    ) -> None:
        """``key``: the one tokens are made with. ``count`` is told ``bounced`` for each."""
        self._store = store
        self._mailbox = mailbox
        self._key = key
        self._count = count
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.trouble = ""
        """Why bounces cannot be read at the moment; for ``status``."""

    async def run(self, held: Callable[[], bool]) -> None:
        """While the lease is held."""
        while held():
            try:
                while await self.step():
                    pass
            except (StoreUnavailable, Conflict) as error:
                log.warning("outbox_waits", error=str(error))
            await asyncio.sleep(POLL_SECONDS)

    async def step(self) -> int:
        """Look at some unread messages; how many are done with, or none of ours.

        Raises ``StoreUnavailable``, ``Conflict``.
        """
        try:
            unread = await self._mailbox.unread(self._known.__contains__)
            ends = [(each, await self._end_of(each)) for each in unread]
            await self._mailbox.mark([each for each, end in ends if end is _End.DONE])
            await self._mailbox.leave()
        except MailboxUnusable as error:
            if not self.trouble:
                log.error("bounces_not_read", reason=str(error))
            self.trouble = f"bounced notices cannot be read: {error}"
            return 0
        self.trouble = ""
        return sum(1 for _, end in ends if end is not _End.LATER)

    async def _end_of(self, message: Unread) -> "_End":
        """What became of it, whatever it is; raises what says that the store is away."""
        try:
            end = await self._take(message)
        except Exception as error:
            if isinstance(error, StoreUnavailable | Conflict) and not isinstance(error, Unstorable):
                raise
            # The number in the mailbox finds it; its error's text may hold what somebody wrote.
            log.warning("bounce_left_out", message=message.uid[1], reason=type(error).__name__)
            end = _End.NOT_OURS
        if end is _End.NOT_OURS:
            self._known[message.uid] = None
            while len(self._known) > KNOWN_AT_MOST:
                self._known.popitem(last=False)
        return end

    async def _take(self, message: Unread) -> "_End":
        ends = [await self._came_back(each) for each in bounces_in(message.octets)]
        if ends and all(end is not _End.NOT_OURS for end in ends):
            return _End.LATER if _End.LATER in ends else _End.DONE
        return _End.NOT_OURS

    async def _came_back(self, bounce: Bounce) -> "_End":
        async with self._store.read() as reading:
            notice = await self._named(reading, bounce) or await self._searched(reading, bounce)
        if notice is None:
            return _End.NOT_OURS
        if notice.state is NoticeState.TRANSMITTING:
            # Faster than the answer to the message itself.
            return _End.LATER
        if notice.state not in MAY_COME_BACK:
            # Sent again meanwhile, or known to have come back.
            return _End.DONE
        step = moved(notice, NoticeState.BOUNCED, answer=f"came back: {bounce.words}")
        done, _ = await self._store.write(lambda writing: writing.put_notice(step))
        if not done:
            return _End.LATER
        self._count("bounced")
        # The report's own words name the reader: they stand in the notice alone.
        reason = bounce.status or "no status"
        log.warning("notice_bounced", change=notice.change, kind=notice.kind.value, reason=reason)
        return _End.DONE

    async def _named(self, reading: Reading, bounce: Bounce) -> Notice | None:
        """By the address, where that is the login."""
        for address in bounce.recipients:
            person = await reading.person_by_login(address)
            if person is not None and self._is(bounce, person.person_id):
                return await reading.notice(bounce.change, bounce.kind, person.person_id)
        return None

    async def _searched(self, reading: Reading, bounce: Bounce) -> Notice | None:
        """Among the notices of the change."""
        after = ("", "")
        for _ in range(PAGES_AT_MOST):
            page: Sequence[Notice] = await reading.notices(bounce.change, tuple(NoticeState), after, PAGE)
            for notice in page:
                if notice.kind is bounce.kind and self._is(bounce, notice.reader.person_id):
                    return notice
            if len(page) < PAGE:
                break
            after = (page[-1].reader.person_id, page[-1].kind.value)
        return None

    def _is(self, bounce: Bounce, person_id: str) -> bool:
        token = person_token(self._key, bounce.change, bounce.kind, person_id)
        return hmac.compare_digest(token.encode(), bounce.token.encode())
