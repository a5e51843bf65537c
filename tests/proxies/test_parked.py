"""A Ping or Sync that waits at the mail server: cut, superseded, expired, drained, and never mail after the cut."""

import asyncio
import time
from dataclasses import replace

import pytest

from gateway.domain.policy import Unavailable
from gateway.domain.verdict import FOREVER
from tests.support.fronted import BAN, TIKTOK, Fronted, fronted, policy, settled, until
from tests.support.raw_http import Client, basic, eas, request
from tests.support.scripted_origin import Origin, OriginConnection
from tests.support.spine import PING, PING_CUT
from tests.support.upstream import PING_CHANGES, MailboxServer

PING_EXPIRED = bytes.fromhex("03016a00000d45470331000101")
"""Status 1: nothing changed within the heartbeat."""
SYNC = bytes.fromhex("03016a00455c4f4b033100523500010101")
SYNC_CUT = bytes.fromhex("03016a00454e033132000101")
"""Status 12: the hierarchy changed."""
MAIL = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + PING_CHANGES


def ping(user: str = "anna", device: str = "phone1", **headers: str) -> bytes:
    return request(eas("Ping", user, device), PING, user=user, **headers)


async def parked(gateway: Fronted, origin: Origin, octets: bytes = b"") -> tuple[Client, OriginConnection]:
    """A phone whose request waits at the mail server."""
    client = await gateway.client()
    client.write(octets or ping())
    connection = await origin.connection()
    await connection.request()
    return client, connection


async def test_a_ping_is_cut_and_the_mail_servers_leg_is_closed_first(scripted: Fronted, origin: Origin) -> None:
    scripted.clean("anna", "phone1")
    client, connection = await parked(scripted, origin)
    assert scripted.front.status()["parked"] == 1
    scripted.dirty("anna", "phone1")
    answer = await client.answer()
    # No await between: what the kernel knows now, it knew when the phone was answered.
    assert connection.ended
    assert (answer.status, answer.body, answer.closed) == (200, PING_CUT, False)
    assert scripted.ended("Ping", "cut") == 1
    assert scripted.front.status()["parked"] == 0
    assert scripted.decision.sessions.count == 0


async def test_the_leg_is_closed_before_the_phone_is_written_to(scripted: Fronted, origin: Origin) -> None:
    scripted.clean("anna", "phone1")
    _, connection = await parked(scripted, origin)
    (client_connection,) = scripted.front._connections  # the order of two writes of one process is to be seen
    seen: list[bool] = []
    write = client_connection.transport.write  # type: ignore[union-attr]

    class Watched:
        def __getattr__(self, name: str) -> object:
            return getattr(transport, name)

        def write(self, octets: bytes) -> None:
            seen.append(connection.ended)
            write(octets)

    transport = client_connection.transport
    client_connection.transport = Watched()  # type: ignore[assignment]
    scripted.dirty("anna", "phone1")
    await until(lambda: bool(seen))
    assert seen == [True]


@pytest.mark.parametrize("version", ["12.1", "14.1", "16.1"])
async def test_a_waiting_sync_is_cut(scripted: Fronted, origin: Origin, version: str) -> None:
    scripted.clean("anna", "phone1")
    target = eas("Sync", "anna", "phone1")
    client, connection = await parked(
        scripted, origin, request(target, SYNC, user="anna", MS_ASProtocolVersion=version)
    )
    scripted.dirty("anna", "phone1")
    answer = await client.answer()
    assert connection.ended
    assert (answer.status, answer.body) == (200, SYNC_CUT)


async def test_a_sync_that_cannot_wait_is_refused_like_any_command(scripted: Fronted, origin: Origin) -> None:
    """Version 2.5 has no waiting Sync: its refusal names the ban, so the credentials must be proved first."""
    scripted.clean("anna", "phone1")
    target = eas("Sync", "anna", "phone1")
    client, connection = await parked(scripted, origin, request(target, SYNC, user="anna", MS_ASProtocolVersion="2.5"))
    scripted.dirty("anna", "phone1")
    await connection.until_ended()
    checking = await origin.connection()
    for _ in range(2):  # the question with invented credentials, then the one that matters
        assert (await checking.request()).line.startswith(b"OPTIONS ")
        await checking.answer(b"", "401 Unauthorized", 'WWW-Authenticate: Basic realm="mail"')
    assert (await client.answer()).status == 401


async def test_the_phone_comes_back_on_the_same_connection_and_is_refused(
    gateway: Fronted, mailbox: MailboxServer
) -> None:
    gateway.clean("anna", "phone1")
    client = await gateway.client()
    client.write(ping())
    await mailbox.until_parked(1)
    gateway.dirty("anna", "phone1")
    assert (await client.answer()).body == PING_CUT
    again = await client.ask(ping())
    assert again.body == bytes.fromhex("03016a00000d4547033132390001 01".replace(" ", ""))
    assert mailbox.commands() == ["Ping"]


async def test_other_devices_and_other_people_go_on_waiting(gateway: Fronted, mailbox: MailboxServer) -> None:
    people = [("anna", "phone1"), ("anna", "phone2"), ("bert", "phone1")]
    clients = []
    for login, device in people:
        gateway.clean(login, device)
        clients.append(await gateway.client())
        clients[-1].write(ping(login, device))
    await mailbox.until_parked(3)
    gateway.dirty("anna", "phone1")
    assert (await clients[0].answer()).body == PING_CUT
    mailbox.released.set()
    assert (await clients[1].answer()).body == PING_CHANGES
    assert (await clients[2].answer()).body == PING_CHANGES


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("pieces", [(MAIL,), (MAIL[:20], MAIL[20:]), (MAIL[:45], MAIL[45:])])
async def test_mail_released_at_the_moment_of_the_cut(
    scripted: Fronted, origin: Origin, turns: int, pieces: tuple[bytes, ...]
) -> None:
    """Whatever is passed on was passed on before the cut began; from then on not one octet."""
    scripted.decision.policy = policy()
    scripted.dirty("anna", "phone1")
    await scripted.known("anna")
    client, connection = await parked(scripted, origin)
    for piece in pieces:
        connection.send_now(piece)
        for _ in range(turns):
            await asyncio.sleep(0)
    handed_over = scripted.ended("Ping", "forwarded") == 1
    await scripted.ban(BAN)
    await settled()
    answer = await client.answer()
    assert answer.body == (PING_CHANGES if handed_over else PING_CUT)
    assert handed_over or connection.ended


async def test_mail_that_comes_while_the_changed_record_is_read(scripted: Fronted, origin: Origin) -> None:
    scripted.clean("anna", "phone1")
    client, connection = await parked(scripted, origin)
    scripted.evidence.gate = asyncio.Event()
    scripted.dirty("anna", "phone1")
    await connection.send(MAIL)
    await settled()
    scripted.evidence.gate.set()
    answer = await client.answer()
    assert answer.body == PING_CUT


async def test_mail_held_back_by_a_harmless_change_arrives_whole(scripted: Fronted, origin: Origin) -> None:
    scripted.clean("anna", "phone1")
    client, connection = await parked(scripted, origin)
    scripted.evidence.gate = asyncio.Event()
    scripted.clean("anna", "phone1")
    await connection.send(MAIL)
    await settled()
    scripted.evidence.gate.set()
    assert (await client.answer()).body == PING_CHANGES
    # The mail server's connection is fit for the next request.
    client.write(ping())
    assert (await connection.request()).body == PING
    await connection.send(MAIL)
    assert (await client.answer()).body == PING_CHANGES


async def test_state_lost_beyond_its_bound_sends_a_waiting_phone_away(scripted: Fronted, origin: Origin) -> None:
    scripted.clean("anna", "phone1")
    client, connection = await parked(scripted, origin)
    assert scripted.decision.policy.version.unavailable is Unavailable.DEFER
    scripted.decision.state_lost = True
    await scripted.decision.rejudge_all()
    answer = await client.answer()
    assert answer.status == 503
    assert connection.ended


async def test_a_ping_of_the_same_phone_takes_the_place_of_the_one_before(scripted: Fronted, origin: Origin) -> None:
    scripted.clean("anna", "phone1")
    first, at_first = await parked(scripted, origin)
    second, at_second = await parked(scripted, origin)
    assert (await first.answer()).closed
    await at_first.until_ended()
    await at_second.send(MAIL)
    assert (await second.answer()).body == PING_CHANGES
    assert scripted.decision.sessions.count == 0


async def test_a_ping_of_another_phone_leaves_it_alone(scripted: Fronted, origin: Origin) -> None:
    first, at_first = await parked(scripted, origin)
    second, at_second = await parked(scripted, origin, ping(device="phone2"))
    await at_first.send(MAIL)
    await at_second.send(MAIL)
    assert (await first.answer()).body == PING_CHANGES
    assert (await second.answer()).body == PING_CHANGES


async def test_somebody_without_the_password_ends_nobodys_ping(scripted: Fronted, origin: Origin) -> None:
    scripted.clean("anna", "phone1")
    client, connection = await parked(scripted, origin)
    guesser, at_guesser = await parked(scripted, origin, ping(Authorization=basic("anna", "guess")))
    await at_guesser.answer(b"", "401 Unauthorized")
    assert (await guesser.answer()).status == 401
    await connection.send(MAIL)
    assert (await client.answer()).body == PING_CHANGES


async def test_a_ban_that_begins_while_a_phone_waits(scripted: Fronted, origin: Origin) -> None:
    await scripted.ban(replace(BAN, starts_at=time.time() + 0.3))
    scripted.dirty("anna", "phone1")
    await scripted.known("anna")
    client, connection = await parked(scripted, origin)
    answer = await client.answer()
    assert answer.body == PING_CUT
    assert connection.ended


async def test_a_verdict_that_is_renewed_when_its_time_is_over(scripted: Fronted, origin: Origin) -> None:
    """The ban's end is such a moment; the phone goes on waiting, and no timer is left."""
    await scripted.ban(replace(BAN, ends_at=time.time() + 0.2))
    scripted.clean("anna", "phone1")
    scripted.dirty("bert", "phone1")
    client, connection = await parked(scripted, origin)
    await asyncio.sleep(0.25)  # the moment itself must pass
    await connection.send(MAIL)
    assert (await client.answer()).body == PING_CHANGES


async def test_time_runs_out_while_the_record_is_not_in_memory(scripted: Fronted, origin: Origin) -> None:
    await scripted.ban(replace(BAN, starts_at=time.time() + 0.3))
    scripted.dirty("anna", "phone1")
    await scripted.known("anna")
    client, connection = await parked(scripted, origin)
    scripted.cache.entries.clear()
    scripted.cache._ring.clear()
    answer = await client.answer()
    assert answer.body == PING_CUT
    assert connection.ended


async def test_a_client_that_hangs_up_lets_go_of_the_mail_server(scripted: Fronted, origin: Origin) -> None:
    client, connection = await parked(scripted, origin)
    client.close()
    await connection.until_ended()
    await until(lambda: scripted.decision.sessions.count == 0)


async def test_a_mail_server_that_goes_away_defers(scripted: Fronted, origin: Origin) -> None:
    client, connection = await parked(scripted, origin)
    connection.close()
    answer = await client.answer()
    assert (answer.status, answer.closed) == (503, False)
    assert scripted.decision.sessions.count == 0


async def test_no_deadline_below_the_longest_heartbeat(scripted: Fronted, origin: Origin) -> None:
    """[MS-ASCMD] 2.2.3.88: up to 59 minutes."""
    client, connection = await parked(scripted, origin)
    scripted.clock.ahead = 3_660.0
    scripted.front.sweep()
    await settled()
    assert not connection.ended
    scripted.clock.ahead = 3_901.0
    scripted.front.sweep()
    answer = await client.answer()
    assert answer.body == PING_EXPIRED
    assert connection.ended


async def test_draining_sends_phones_straight_back(scripted: Fronted, origin: Origin) -> None:
    client, connection = await parked(scripted, origin)
    idle = await scripted.client()
    working, at_working = await parked(
        scripted, origin, request(eas("Sync", "bert", "p", ""), SYNC, user="bert", MS_ASProtocolVersion="2.5")
    )
    draining = asyncio.create_task(scripted.front.drain(10.0))
    answer = await client.answer()
    assert (answer.body, answer.header("Connection")) == (PING_EXPIRED, "close")
    assert connection.ended
    assert (await idle.answer()).closed
    assert not draining.done()
    await at_working.answer(b"mail")
    answer = await working.answer()
    assert (answer.body, answer.header("Connection")) == (b"mail", "close")
    await asyncio.wait_for(draining, 5)


async def test_draining_sends_back_what_comes_to_wait_meanwhile(scripted: Fronted, origin: Origin) -> None:
    """Nobody would tell it otherwise, and it would be broken off at the end."""
    working, at_working = await parked(scripted, origin, request(eas("Search", "a", "p"), SEARCH, user="a"))
    late = await scripted.client()
    draining = asyncio.create_task(scripted.front.drain(30.0, handed_over=True))
    await until(lambda: scripted.front.draining)
    late.write(ping())
    connection = await origin.connection()
    await connection.request()
    answer = await asyncio.wait_for(late.answer(), 5)
    assert (answer.body, answer.header("Connection")) == (PING_EXPIRED, "close")
    await at_working.answer(b"mail")
    assert (await working.answer()).body == b"mail"
    await asyncio.wait_for(draining, 5)


async def test_an_answer_that_is_on_its_way_is_not_lost_by_draining(scripted: Fronted, origin: Origin) -> None:
    client, connection = await parked(scripted, origin)
    draining = asyncio.create_task(scripted.front.drain(30.0))
    await until(lambda: scripted.front.draining)
    await connection.send(MAIL)
    assert (await client.answer()).body == PING_CHANGES
    await asyncio.wait_for(draining, 5)


async def test_handed_over_a_kept_connection_gets_one_more_answer(scripted: Fronted, origin: Origin) -> None:
    """Closed at once, a request that is on its way already would be lost."""
    idle = await scripted.client()
    idle.write(request(eas("Search", "a", "p"), SEARCH, user="a"))
    connection = await origin.connection()
    await connection.request()
    await connection.answer(b"first")
    assert (await idle.answer()).header("Connection") != "close"
    unused = await scripted.client()
    draining = asyncio.create_task(scripted.front.drain(30.0, handed_over=True))
    await until(lambda: scripted.front.draining)
    for client, words in ((idle, b"second"), (unused, b"third")):
        client.write(request(eas("Search", "a", "p"), SEARCH, user="a"))
        await connection.request()
        await connection.answer(words)
        answer = await client.answer()
        assert (answer.body, answer.header("Connection")) == (words, "close")
    await asyncio.wait_for(draining, 5)


async def test_draining_ends_in_time(scripted: Fronted, origin: Origin) -> None:
    working, _ = await parked(scripted, origin, request(eas("Search", "a", "p"), SEARCH, user="a"))
    await asyncio.wait_for(scripted.front.drain(0.2), 5)
    assert (await working.answer()).closed


SEARCH = bytes.fromhex("03016a00000f450101")


async def test_a_busy_fleet_is_cut_at_once(origin: Origin) -> None:
    """300 phones over one policy change; each leg closed, each phone told."""
    async with fronted(origin.url) as gateway:
        gateway.decision.policy = policy()
        for number in range(300):
            gateway.evidence.put(f"user{number}", "phone", TIKTOK)
            await gateway.known(f"user{number}")
        phones = [await parked(gateway, origin, ping(f"user{number}", "phone")) for number in range(300)]
        await gateway.ban(BAN)
        for client, connection in phones:
            assert (await client.answer()).body == PING_CUT
            assert connection.ended
        assert gateway.decision.sessions.count == 0


def test_for_ever_needs_no_timer() -> None:
    assert FOREVER - time.time() > 1e300
