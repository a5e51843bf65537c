"""Notices in the control process: off without a sender; else the outbox, the desk and what is said in ``status``."""

import asyncio
import json
import os
import secrets
import ssl
from collections.abc import Callable, Sequence
from datetime import time as daytime_at
from pathlib import Path
from urllib.parse import urlsplit

from gateway.app.parts import data_dir_of
from gateway.changes.newly_cut import Evidence, LoadRecord, newly_cut_people
from gateway.domain.batches import Batches
from gateway.domain.errors import DomainError, InvalidValue
from gateway.domain.notice import Finding
from gateway.domain.quiet_hours import Daytime
from gateway.notices.compose import Composer, ComposeSettings
from gateway.notices.desk import NoticeDesk, Subject
from gateway.notices.outbox import Outbox, OutboxSettings
from gateway.notices.smtp import SmtpDelivery, SmtpSettings
from gateway.notices.taking_back import TakingBack
from gateway.ports.store import MailDevice, Reading, Store
from gateway.settings import Settings

KEY_FILE = "notice-key"
KEY_BYTES = 32
_PORTS = {"smtp": 25, "smtp+starttls": 25, "smtps": 465}


class Noticing:
    """One per control process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        load_record: LoadRecord,
        now: Callable[[], float],
        count: Callable[[str], None],
    ) -> None:
        """Raises ``DomainError`` for settings that cannot be used."""
        self._store = store
        self._load_record = load_record
        self.withdrawn = TakingBack(now).withdrawn
        self.desk: NoticeDesk | None = None
        self._outbox: Outbox | None = None
        told = settings.notices
        if not told.sender:
            return
        composer = composer_of(settings)
        self._outbox = Outbox(store, delivery_of(settings), composer, now, outbox_settings_of(settings), count)
        self.desk = NoticeDesk(
            store,
            composer,
            self._subject,
            now,
            hold_seconds=told.hold_seconds,
            expires_seconds=told.expires_seconds,
        )

    async def run(self) -> None:
        """Until cancelled."""
        if self._outbox is None:
            await asyncio.Event().wait()
        else:
            await self._outbox.run()

    def sentences(self) -> list[str]:
        """Warnings for ``status``."""
        return [self._outbox.trouble] if self._outbox is not None and self._outbox.trouble else []

    async def _subject(self, number: int) -> Subject:
        async with self._store.read() as reading:
            change, policy = await reading.policy_change(number), await reading.policy()
        if change is None or policy is None:
            raise InvalidValue(f"there is no change {number}: gatepost change list shows them")
        evidence = Evidence(change, policy, self._load_record)

        async def findings_of(reading: Reading, person_id: str) -> Sequence[Finding]:
            found = await evidence.of(reading, person_id)
            names = {each.device_id: _name_of(each) for each in await reading.mail_devices(person_id)} if found else {}
            return [
                Finding(each.app.name or each.app.id, names.get(each.device_id, ""), each.seen_at) for each in found
            ]

        apps = tuple(ban.name for ban in evidence.bans)
        text = next((ban.text for ban in evidence.bans if ban.text), "")
        return Subject(newly_cut_people(self._store, number, self._load_record), findings_of, apps, text)


def _name_of(device: MailDevice) -> str:
    """What its owner would call it: what it says of itself, else its kind."""
    try:
        told = json.loads(device.device_information or "{}")
    except ValueError:
        told = {}
    names = (told.get(key) for key in ("FriendlyName", "Model")) if isinstance(told, dict) else ()
    return next((name for name in names if isinstance(name, str) and name), device.device_type)


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
            language=told.language,
            time_zone=told.time_zone,
            templates=told.templates,
        ),
        notice_key(data_dir_of(settings)),
    )


def delivery_of(settings: Settings) -> SmtpDelivery:
    """The way by SMTP. Raises ``DomainError``."""
    told = settings.notices
    parts = urlsplit(told.server)
    security = {"smtp": "none", "smtp+starttls": "starttls", "smtps": "tls"}[parts.scheme]
    return SmtpDelivery(
        SmtpSettings(
            host=parts.hostname or "",
            port=parts.port or _PORTS[parts.scheme],
            security=security,  # type: ignore[arg-type]
            name=told.sender.rpartition("@")[2],
            username=told.username,
            password=told.password,
            connections=told.connections,
        ),
        _tls(told.server_ca),
    )


def outbox_settings_of(settings: Settings) -> OutboxSettings:
    """The [notices] section as the outbox takes it."""
    told = settings.notices
    return OutboxSettings(
        batches=Batches(told.first_batch, told.batch_factor, told.largest_batch, told.batch_seconds),
        daytime=Daytime(daytime_at(told.day_begins_hour), daytime_at(told.day_ends_hour)),
        per_second=told.per_second,
        at_once=told.connections,
    )


def _tls(authorities: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities or None)
    except (OSError, ssl.SSLError) as error:
        raise DomainError(f"[notices] server_ca {authorities} cannot be read: {error}") from None


def notice_key(data_dir: Path) -> bytes:
    """What Message-IDs are made with; the first notice-sending start makes it. Raises ``DomainError``."""
    path = data_dir / KEY_FILE
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
