"""Requests at the same time: of one user, and those of one device that wait. Strangers cannot fill the place."""

import pytest

from gateway.decision.live_sessions import LiveSession
from gateway.proxies import front
from gateway.proxies.judged_exchange import JudgedExchange
from tests.limits.neighbour import Neighbour, ping, sync
from tests.proxies.test_parked import SYNC
from tests.support.fronted import Fronted, fronted, until
from tests.support.raw_http import Client, basic, eas, request
from tests.support.scripted_origin import OriginConnection, scripted_origin
from tests.support.upstream import PASSWORD, MailboxServer


async def test_one_too_many_of_a_user(mailbox: MailboxServer, neighbour: Neighbour) -> None:
    async with fronted(mailbox.url, sessions_per_user=3, retry_after_seconds=9) as gateway:
        await neighbour.waits(gateway)
        for number in range(3):
            (await gateway.client()).write(ping("anna", f"phone{number}"))
        await mailbox.until_parked(4)
        client = await gateway.client()
        answer = await client.ask(sync("anna"))
        assert (answer.status, answer.header("Retry-After"), answer.closed) == (503, "9", False)
        assert gateway.ended("FolderSync", "too_many_sessions") == 1
        await neighbour.is_unharmed(gateway)
        # They were answered, so there is room again.
        assert (await client.ask(sync("anna"))).status == 200


async def test_somebody_without_the_password_does_not_keep_the_user_out(mailbox: MailboxServer) -> None:
    """Requests that never end, under the victim's name: they count together, but not with the victim's own."""
    async with fronted(mailbox.url, sessions_per_user=3) as gateway:
        unfinished = sync("anna", Authorization=basic("anna", "guess"))[:-2]
        for _ in range(6):
            (await gateway.client()).write(unfinished)
        await until(lambda: gateway.counted("gatepost_requests_total", "FolderSync", "too_many_sessions") == 3)
        assert (await (await gateway.client()).ask(sync("anna"))).status == 200
        assert gateway.decision.sessions.count == 3


async def test_whoever_has_many_sessions_costs_others_of_the_name_no_more(
    mailbox: MailboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each request of a login would be as dear as strangers have opened sessions under it."""
    monkeypatch.setattr(front, "SESSIONS_LOOKED_AT", 10)
    looked_at = 0
    is_by_the_same = JudgedExchange.is_by_the_same

    def counted(begun: JudgedExchange, session: LiveSession) -> bool:
        nonlocal looked_at
        looked_at += 1
        return is_by_the_same(begun, session)

    monkeypatch.setattr(JudgedExchange, "is_by_the_same", counted)
    async with fronted(mailbox.url, sessions_per_user=3) as gateway:
        for number in range(40):
            (await gateway.client()).write(sync("anna", Authorization=basic("anna", f"guess{number}"))[:-2])
        await until(lambda: gateway.decision.sessions.count == 40)
        looked_at = 0
        client = await gateway.client()
        assert (await client.ask(sync("anna"))).status == 200
        client.write(ping("anna", "phone1"))
        await mailbox.until_parked(1)
        assert 0 < looked_at <= 3 * (10 + 8)


async def parked_sync(gateway: Fronted, device: str, password: str) -> Client:
    """A Sync that waits for mail."""
    client = await gateway.client()
    target = eas("Sync", "anna", device)
    client.write(request(target, SYNC, user="anna", Authorization=basic("anna", password)))
    return client


async def test_the_oldest_of_a_devices_waiting_requests_is_ended() -> None:
    async with scripted_origin() as origin, fronted(origin.url, parked_per_device=3) as gateway:
        waiting: list[tuple[Client, OriginConnection]] = []

        async def one_more(device: str = "phone1", password: str = PASSWORD) -> None:
            client = await parked_sync(gateway, device, password)
            connection = await origin.connection()
            await connection.request()
            gateway.clock.ahead += 2.0
            gateway.front.sweep()
            waiting.append((client, connection))

        for _ in range(3):
            await one_more()
        await one_more("phone2")
        await one_more(password="guess")
        assert gateway.front.status()["parked"] == 5
        await one_more()
        assert (await waiting[0][0].answer()).closed
        await waiting[0][1].until_ended()
        assert gateway.ended("Sync", "superseded") == 1
        assert gateway.front.status()["parked"] == 5
        for client, connection in waiting[1:]:
            await connection.answer(b"mail")
            assert (await client.answer()).body == b"mail"
