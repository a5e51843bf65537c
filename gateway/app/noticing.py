"""Notices in the control process: off without a sender; else the outbox, the desk and what is said in ``status``."""

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from datetime import time as daytime_at
from pathlib import Path

from gateway.app.notice_way import bounce_mailbox_of, delivery_of
from gateway.app.parts import NOTICE_KEY_FILE, data_dir_of
from gateway.app.serving import Serving, ServingLimits
from gateway.app.telling import ChangeWaves, about, tell_settings_of
from gateway.changes.newly_cut import Names
from gateway.changes.telling import Telling
from gateway.changes.told_later import ToldLater
from gateway.changes.what_was_found import LoadRecord
from gateway.domain.audit import Subject
from gateway.domain.batches import Batches
from gateway.domain.errors import DomainError
from gateway.domain.quiet_hours import Daytime
from gateway.network.tls import ServerTls
from gateway.notices.bouncing import Bouncing
from gateway.notices.compose import Composer, ComposeSettings
from gateway.notices.desk import NoticeDesk
from gateway.notices.outbox import Outbox
from gateway.notices.outbox_settings import OutboxSettings
from gateway.notices.recipients import Recipients
from gateway.notices.taking_back import TakingBack
from gateway.notices.wrong import WrongPage
from gateway.observability.metrics import Metrics
from gateway.ports.store import Store
from gateway.runtime.leases import Held
from gateway.runtime.sockets import BoundSocket
from gateway.settings import Settings

KEY_BYTES = 32
PAGE_HEAD_SECONDS = 10.0


class Noticing:
    """One per control process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        load_record: LoadRecord,
        now: Callable[[], float],
        count: Callable[[str], None],
        names: Names,
    ) -> None:
        """``names`` knows whom changes cut. Raises ``DomainError`` for settings that cannot be used."""
        self.withdrawn = TakingBack(now).withdrawn
        self.telling = Telling(tell_settings_of(settings), now)
        self.desk: NoticeDesk | None = None
        self.page: WrongPage | None = None
        """Where readers say that a notice is wrong."""
        self._outbox: Outbox | None = None
        self._recipients: Recipients | None = None
        self._later: ToldLater | None = None
        self._page_connections = settings.notices.max_connections
        self._bouncing: Bouncing | None = None
        told = settings.notices
        if not told.sender:
            return
        composer = composer_of(settings)
        self._outbox = Outbox(store, delivery_of(settings), composer, now, outbox_settings_of(settings), count)
        if (mailbox := bounce_mailbox_of(settings)) is not None:
            self._bouncing = Bouncing(store, mailbox, composer.key, count)
        self.desk = NoticeDesk(
            store,
            composer,
            about,
            now,
            hold_seconds=told.hold_seconds,
            expires_seconds=told.expires_seconds,
            troubles=self.sentences,
        )
        self._recipients = Recipients(store, composer, ChangeWaves(store, names, load_record), now)
        if told.later:
            self._later = ToldLater(store, composer, load_record, self.telling, tell_settings_of(settings), now)
        if told.listen:
            self.page = WrongPage(store, composer, now)

    async def run(self) -> None:
        """Until cancelled."""
        if self._outbox is None:
            await asyncio.Event().wait()
        else:
            await self._outbox.run()

    def servings(
        self,
        bound: Sequence[BoundSocket],
        tls: ServerTls | None,
        metrics: Metrics,
        limits: Callable[[str, int, float], ServingLimits],
    ) -> tuple[Serving, ...]:
        """What serves the page of readers who say that a notice is wrong."""
        if self.page is None:
            return ()
        self.page.count = metrics.counter(
            "gatepost_notice_page_total", "Requests to the page behind the link in notices by how they ended", "outcome"
        ).inc
        return (Serving(self.page, bound, tls, limits("notices", self._page_connections, PAGE_HEAD_SECONDS)),)

    @property
    def reads_bounces(self) -> bool:
        """Whether there is a mailbox that they come back to."""
        return self._bouncing is not None

    async def read_bounces(self, held: Held) -> None:
        """While the lease is held."""
        if self._bouncing is not None:
            await self._bouncing.run(held.__bool__)

    def sentences(self) -> list[str]:
        """Warnings for ``status``."""
        outbox = self._outbox.trouble if self._outbox is not None else ""
        bounces = self._bouncing.trouble if self._bouncing is not None else ""
        return [trouble for trouble in (outbox, bounces) if trouble]

    def gauge(self, metrics: Metrics) -> None:
        """Set the figures."""
        seconds = self._outbox.way.in_vain_seconds if self._outbox is not None else 0.0
        metrics.gauge(
            "gatepost_notices_in_vain_seconds",
            "For how long notices are tried and none is taken; 0: the last one was, or none waits",
        ).set(seconds)

    async def write_down(self, held: object) -> None:
        """Who is told, while the lease is held."""
        if self._recipients is None:
            await asyncio.Event().wait()
        else:
            await self._recipients.run(held)

    async def take_effects(self, effects: Sequence[Subject]) -> None:
        """What workers did to people. Raises ``StoreUnavailable``, ``Conflict``."""
        if self._later is not None:
            await self._later.take(effects)


def composer_of(settings: Settings) -> Composer:
    """Raises ``DomainError``."""
    told = settings.notices
    return Composer(
        ComposeSettings(
            sender=told.sender,
            sender_name=told.sender_name,
            reply_to=told.reply_to,
            ask=told.ask,
            elsewhere=told.elsewhere,
            link=told.link,
            language=told.language,
            time_zone=told.time_zone,
            templates=told.templates,
        ),
        notice_key(data_dir_of(settings)),
    )


def outbox_settings_of(settings: Settings) -> OutboxSettings:
    """The [notices] section as the outbox takes it."""
    told = settings.notices
    return OutboxSettings(
        batches=Batches(told.first_batch, told.batch_factor, told.largest_batch, told.batch_seconds),
        daytime=Daytime(daytime_at(told.day_begins_hour), daytime_at(told.day_ends_hour)),
        per_second=told.per_second,
        at_once=told.connections,
        # A turn may be waited for as long as a notice may take.
        lease_seconds=max(240.0, 2 * told.handover_seconds),
        transmit_seconds=max(1_200.0, 2 * told.answer_seconds),
        alarm_seconds=told.alarm_seconds,
    )


def notice_key(data_dir: Path) -> bytes:
    """What Message-IDs and links are made with; the first notice-sending start makes it. Raises ``DomainError``."""
    path = data_dir / NOTICE_KEY_FILE
    try:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(KEY_BYTES))
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise DomainError(f"{path} cannot be used ({error}): let the gateway's user read and write it") from None
    if len(key) != KEY_BYTES:
        raise DomainError(f"{path} is no key of notices: remove it, and the next start makes another")
    return key
