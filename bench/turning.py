"""Phones with parked Pings in front of a gateway, whose reports turn them to and fro.

Phones, the mailbox server behind the gateway and the clock that measures live in one process; everything is real.
"""

import asyncio
import time
from collections.abc import Sequence

from bench.mailbox import Tally
from bench.phones import FOLDER_SYNC, PING_CUT, Phone, connect
from tests.support.reporting import HARMLESS, Agent
from tests.support.running import Running

PATIENCE_SECONDS = 60.0


class TurningPhones:
    """Phones with parked Pings in front of one gateway."""

    def __init__(self, gateway: Running, agent: Agent, tally: Tally) -> None:
        self._gateway = gateway
        self._agent = agent
        self._tally = tally
        self._answers: dict[Phone, asyncio.Future[None]] = {}
        self.phones: list[Phone] = []
        self.acknowledged_at = 0.0
        """When the last report's 2xx came."""

    async def enrol(self, count: int) -> None:
        """Report ``count`` clean phones and connect them."""
        room = asyncio.Semaphore(16)

        async def report(number: int) -> None:
            async with room:
                await self._agent.clean(f"user{number:05}", f"PHONE{number:05}")

        await asyncio.gather(*(report(number) for number in range(count)))
        # Only then: a connection that asks nothing for long is closed.
        self.phones = [
            await connect(self._gateway.http, f"user{number:05}", f"PHONE{number:05}", self._answered)
            for number in range(count)
        ]

    def _answered(self, phone: Phone) -> None:
        waiting = self._answers.pop(phone, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def connected_anew(self, number: int) -> Phone:
        """A clean phone with a new connection in the place of one."""
        old = self.phones[number]
        old.close()
        await self._agent.report(old.login, old.device_id, HARMLESS)
        self.phones[number] = await connect(self._gateway.http, old.login, old.device_id, self._answered)
        return self.phones[number]

    def expect(self, phone: Phone) -> "asyncio.Future[None]":
        """A future for the phone's next answer."""
        self._answers[phone] = asyncio.get_running_loop().create_future()
        return self._answers[phone]

    async def park(self, phones: Sequence[Phone]) -> None:
        """Let them Ping, and wait until all of them are parked at the mailbox server."""
        reached = self._tally.reaches(self._tally.parked + len(phones))
        for phone in phones:
            phone.ask()
        await asyncio.wait_for(reached, PATIENCE_SECONDS)

    async def turn(self, phone: Phone, answered: "asyncio.Future[None] | None" = None, *, check: bool = True) -> float:
        """Report the banned app; seconds from the 2xx to the answer, which must be the cut."""
        answered = answered or self.expect(phone)
        await self._agent.dirty(phone.login, phone.device_id)
        self.acknowledged_at = acknowledged_at = time.perf_counter()
        await asyncio.wait_for(answered, PATIENCE_SECONDS)
        if check:
            check_cut(phone)
        return phone.answered_at - acknowledged_at

    async def recover(self, phone: Phone) -> None:
        """Report the phone clean and let it sync until it is served."""
        await self._agent.report(phone.login, phone.device_id, HARMLESS)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answered = self.expect(phone)
                phone.ask("FolderSync", FOLDER_SYNC)
                await answered
                if b"\r\nContent-Length: 0\r\n" in phone.answer:
                    return


def check_cut(phone: Phone) -> None:
    """The answer must be Status 7 and nothing else."""
    if not phone.answer.endswith(b"\r\n\r\n" + PING_CUT):
        raise SystemExit(f"{phone.login} was not cut properly: {phone.answer!r}")
