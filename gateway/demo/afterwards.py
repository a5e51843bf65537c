"""After the story: the phone goes on syncing, mail goes on coming, and what changes is told; with things to try.

Here nothing is expected: whoever watches may turn what they like. Only the end of the gateway is a failure.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from gateway.demo.phone import Answered, Phone
from gateway.demo.stage import DEVICE_ID, Stage
from gateway.demo.story import BAN, HARMLESS
from gateway.demo.values import DemoFailed, Step, Tone, Who, length
from gateway.domain.errors import DomainError

MAIL_EVERY_SECONDS = 15.0
AGAIN_AFTER_SECONDS = 3.0
HEARTBEAT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Trial:
    """A command of ``gatepost`` to try, without its name, and what it is good for."""

    words: tuple[str, ...]
    purpose: str


def addresses(stage: Stage) -> dict[str, str]:
    """URLs of the running demo, by what is there."""
    gateway = stage.gateway
    admin = gateway.url("admin")
    return {
        "phones": f"{gateway.url('http')}/Microsoft-Server-ActiveSync",
        "admin API": f"{admin}/api/v1/openapi.json",
        "readiness": f"{admin}/readyz",
        "metrics": f"{admin}/metrics",
        "reports": f"{gateway.url('inventory')}/inventory/v1/openapi.json",
        "mailbox server": stage.mailbox.url,
    }


def trials(stage: Stage) -> list[Trial]:
    """What to try, in an order that makes sense."""
    user, app = stage.account.user, HARMLESS[1]
    return [
        Trial(("status",), "how the gateway stands"),
        Trial(("why", user, DEVICE_ID), "why this phone has mail"),
        Trial(("ban", "list"), "what is banned"),
        Trial(
            ("ban", "add", app.name, "--id", f"android:{app.id}", "--flag", "enforce", "--yes"),
            f"this phone has {app.name}: its mail stops at once",
        ),
        Trial(("flag", "set", app.name, "report-only", "--yes"), "and flows again"),
        Trial(("flag", "list"), "everything that can be turned"),
        Trial(("flag", "set", BAN, "off", "--yes"), "take the story's ban back"),
        Trial(("policy", "list"), "who changed what"),
    ]


class Afterwards:
    """Watches one phone until it is cancelled."""

    def __init__(self, stage: Stage, phone: Phone, tell: Callable[[Step], None]) -> None:
        self._stage = stage
        self._phone = phone
        self._tell_step = tell
        self._state = "mail flows"

    async def watch(self) -> None:
        """Go on until cancelled. Raises ``DemoFailed`` when the gateway ends."""
        ended = self._stage.gateway.ended
        assert ended is not None
        works = [self._stage.beside(self._sync_for_ever()), self._stage.beside(self._deliver_for_ever())]
        done, _ = await asyncio.wait({*works, ended}, return_when=asyncio.FIRST_COMPLETED)
        for work in works:
            if work in done:
                work.result()
        raise await self._stage.blamed(DemoFailed("it was not asked to"))

    async def _deliver_for_ever(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(MAIL_EVERY_SECONDS)
            number += 1
            self._stage.mailbox.deliver("carl@demo.example", f"News {number}", "Nothing has happened.")

    async def _sync_for_ever(self) -> None:
        while True:
            try:
                await self._round()
            except (OSError, DomainError) as error:
                self._note(f"no answer: {error or type(error).__name__}", Tone.REFUSED)
                await asyncio.sleep(AGAIN_AFTER_SECONDS)

    async def _round(self) -> None:
        """Folders, mail, and a Ping, as far as they are let through."""
        phone, held = self._phone, len(self._phone.subjects)
        for command in (phone.folder_sync, phone.sync):
            answer = await command()
            if answer.status != "1":
                await self._not_let_through(answer)
                return
        self._note("mail flows", Tone.GOOD)
        for subject in phone.subjects[held:]:
            self._tell(Who.PHONE, "mail", f"Sync: “{subject}”", Tone.GOOD)
        ping = await phone.ping(HEARTBEAT_SECONDS)
        if ping.status == "7":
            waited = f"Ping cut after it had waited {length(ping.seconds)} (Status 7)"
            self._tell(Who.PHONE, "cut", waited, Tone.REFUSED)

    async def _not_let_through(self, answer: Answered) -> None:
        known = self._state
        self._note(f"{answer.command} refused: {answer.words}" if answer.refused else answer.words, Tone.REFUSED)
        if answer.refused and self._state != known:
            await self._tell_why()
        await asyncio.sleep(AGAIN_AFTER_SECONDS)

    async def _tell_why(self) -> None:
        try:
            why = await self._stage.administrator().why(self._stage.account.user, DEVICE_ID)
        except (DemoFailed, httpx.HTTPError) as error:
            self._tell(Who.ADMIN, "why", f"why? The admin API cannot say: {error}", Tone.PLAIN)
        else:
            self._tell(Who.ADMIN, "why", f"why? {why['headline']}", Tone.PLAIN)

    def _note(self, state: str, tone: Tone) -> None:
        """Tell how things stand, when that is news."""
        if state != self._state:
            self._state = state
            self._tell(Who.PHONE, "state", state, tone)

    def _tell(self, who: Who, name: str, text: str, tone: Tone) -> None:
        self._tell_step(Step(time.monotonic() - self._stage.begun, who, name, text, tone=tone))
