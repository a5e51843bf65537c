"""Everything has its bound: times, sizes, numbers, memory; and what becomes of a message whose client goes."""

import asyncio
from contextlib import suppress

import pytest

from gateway.proxies.smtp.connection import BEFORE_LOGIN_MOST
from gateway.proxies.smtp.memory import HELD_BYTES, Memory
from tests.support.fronted import until
from tests.support.submission_server import SubmissionServer
from tests.support.submitted import Submitted, submitted


async def test_a_size_that_is_announced_is_refused_before_the_message(server: SubmissionServer) -> None:
    async with submitted(server.url, max_message_bytes=1000) as front:
        client = await front.client()
        assert b"SIZE 1000\r\n" in await client.greeted()
        await client.ask(b"AUTH PLAIN AGFubmEAc2VjcmV0")
        assert (await client.ask(b"MAIL FROM:<a@b.example> SIZE=1001"))[:9] == b"552 5.3.4"
        assert "MAIL" not in server.verbs()
        assert (await client.ask(b"MAIL FROM:<a@b.example> SIZE=1000"))[:3] == b"250"


async def test_a_size_that_was_not_announced_ends_the_message(server: SubmissionServer) -> None:
    async with submitted(server.url, max_message_bytes=1000) as front:
        client = await front.client()
        await client.logged_in()
        await client.at_data()
        client.write(b"x" * 600 + b"\r\n")
        client.write(b"x" * 600 + b"\r\n.\r\n")
        assert (await client.reply())[:9] == b"552 5.3.4"
        assert (await client.reply())[:3] == b"421"
        assert server.messages == []
        assert front.messages("too_large") == 1
        assert front.front.memory.taken == 0


async def test_a_client_that_does_not_stop_is_not_read_for_ever(server: SubmissionServer) -> None:
    async with submitted(server.url, max_message_bytes=1000) as front:
        client = await front.client()
        await client.logged_in()
        await client.at_data()
        sent = 0
        with suppress(ConnectionError):
            while sent < 100_000_000:
                client.write(b"x" * 100_000)
                await client.drain()
                sent += 100_000
        assert sent < 100_000_000
        assert server.messages == []


async def test_memory_is_taken_before_the_client_is_told_to_send(server: SubmissionServer) -> None:
    async with submitted(server.url, memory_bytes=2 * HELD_BYTES) as front:
        clients = [await front.client() for _ in range(3)]
        for number, client in enumerate(clients):
            await client.logged_in(f"user{number}")
        for client in clients[:2]:
            assert (await client.at_data())[:3] == b"354"
        asked = server.verbs().count("DATA")
        assert (await clients[2].at_data())[:9] == b"452 4.3.1"
        assert server.verbs().count("DATA") == asked
        assert (await clients[0].ask(b"."))[:3] == b"250"
        assert (await clients[2].ask(b"DATA"))[:3] == b"354"
        for client in clients[1:]:
            client.abort()
        await until(lambda: front.front.memory.taken == 0)


def test_memory_for_one_message_there_always_is() -> None:
    memory = Memory(1)
    assert memory.take()
    assert not memory.take()
    memory.give_back()
    assert memory.take()


async def test_too_many_recipients(server: SubmissionServer) -> None:
    async with submitted(server.url, max_recipients=3) as front:
        client = await front.client()
        await client.logged_in()
        await client.ask(b"MAIL FROM:<a@b.example>")
        said = [(await client.ask(b"RCPT TO:<%d@b.example>" % number))[:3] for number in range(5)]
        assert said == [b"250"] * 3 + [b"452"] * 2
        await client.ask(b"DATA")
        assert (await client.ask(b"."))[:3] == b"250"
        assert len(server.messages[0].commands) == 4


@pytest.mark.parametrize("logged_in", [True, False])
async def test_who_says_nothing(logged_in: bool, front: Submitted) -> None:
    client = await front.client()
    await (client.logged_in() if logged_in else client.greeted())
    (seat,) = front.front.admission.connections
    await until(lambda: seat.connection.waiting)
    timer = seat.connection._timeout_handle
    assert timer is not None
    left = timer.when() - asyncio.get_running_loop().time()
    # To a second: the loop has a clock of its own.
    assert (61 < left < 301) if logged_in else left < 61
    seat.connection._timeout_cb()
    assert (await client.reply())[:9] == b"421 4.4.2"
    assert await client.closed()
    assert front.ended("timed_out" if logged_in else "too_slow") == 1


async def test_a_last_word_has_seconds_to_be_taken_and_no_more(front: Submitted) -> None:
    """Also where it is said in the middle of something that had a longer time."""
    client = await front.client()
    await client.greeted()
    (seat,) = front.front.admission.connections
    connection = seat.connection
    await until(lambda: connection.waiting)
    with pytest.raises(asyncio.CancelledError), connection.receives(300.0):
        connection.over(b"421 4.4.2 Too late", "timed_out")
    timer = connection._timeout_handle
    assert timer is not None
    assert timer.when() - asyncio.get_running_loop().time() < 6.0
    assert await client.reply() == b"421 4.4.2 Too late\r\n"
    assert await client.closed()


async def test_the_time_for_a_login_does_not_begin_anew_with_each_command(server: SubmissionServer) -> None:
    async with submitted(server.url, login_seconds=100.0) as front:
        client = await front.client()
        await client.greeted()
        front.clock.ahead = 99.99
        assert (await client.ask(b"NOOP"))[:3] == b"250"
        assert (await client.reply())[:9] == b"421 4.4.2"


async def test_a_login_that_is_not_ended(server: SubmissionServer) -> None:
    async with submitted(server.url, login_seconds=100.0) as front:
        client = await front.client()
        await client.greeted()
        front.clock.ahead = 99.9
        assert (await client.ask(b"AUTH PLAIN"))[:3] == b"334"
        assert (await client.reply())[:9] == b"421 4.4.2"


async def test_a_message_that_stops(server: SubmissionServer) -> None:
    async with submitted(server.url, data_seconds=0.05) as front:
        client = await front.client()
        await client.logged_in()
        await client.at_data()
        client.write(b"half a line")
        assert (await client.reply())[:9] == b"421 4.4.2"
        assert await client.closed()
        await until(lambda: server.open == 0)
        assert server.messages == []
        assert front.messages("timed_out") == 1


async def test_a_message_that_takes_for_ever(server: SubmissionServer) -> None:
    async with submitted(server.url, message_seconds=0.1) as front:
        client = await front.client()
        await client.logged_in()
        await client.at_data()

        async def drip() -> None:
            while True:
                client.write(b"x\r\n")
                await asyncio.sleep(0.01)

        task = asyncio.create_task(drip())
        assert (await client.reply())[:9] == b"421 4.4.2"
        task.cancel()
        await until(lambda: server.open == 0)
        assert server.messages == []


async def test_a_client_that_goes_within_its_message(front: Submitted, server: SubmissionServer) -> None:
    for go in ("abort", "end"):
        client = await front.client()
        await client.logged_in()
        await client.at_data()
        client.write(b"half a message\r\n.")
        await client.drain()
        getattr(client, go)()
        await until(lambda: not front.front.admission.connections)
    await until(lambda: server.open == 0)
    assert server.messages == []
    assert front.messages("client_gone") == 2
    assert front.front.memory.taken == 0


async def test_a_client_that_goes_before_the_answer(front: Submitted, server: SubmissionServer) -> None:
    """The mail server has the message; what it says is heard and counted, and told to nobody."""
    server.held = asyncio.Event()
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    client.write(b"whole\r\n.\r\n")
    await until(lambda: bool(server.messages))
    client.abort()
    await until(lambda: not front.front.admission.connections)
    server.held.set()
    await until(lambda: front.messages("accepted") == 1)
    await until(lambda: server.open == 0)
    assert server.verbs()[-1] == "QUIT"


async def test_a_client_that_sends_no_more_still_has_its_answer(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    client.write(b"whole\r\n.\r\n")
    client.end()
    assert (await client.reply())[:3] == b"250"
    assert await client.closed()


@pytest.mark.parametrize("line", [b"NOOP " + b"x" * 600, b"MAIL FROM:<" + b"x" * 3000 + b"@b.example>"])
async def test_a_long_command(line: bytes, front: Submitted) -> None:
    client = await front.client()
    await client.logged_in()
    assert (await client.ask(line))[:3] == b"500"
    assert (await client.ask(b"NOOP"))[:3] == b"250"


async def test_a_line_without_an_end(front: Submitted) -> None:
    client = await front.client()
    await client.greeted()
    client.write(b"AUTH PLAIN " + b"x" * 20_000)
    assert (await client.reply())[:9] == b"500 5.5.6"
    assert await client.closed()


async def test_commands_that_nobody_knows(front: Submitted) -> None:
    client = await front.client()
    await client.greeted()
    said = [(await client.ask(b"GET / HTTP/1.1"))[:3] for _ in range(5)]
    assert said == [b"500"] * 4 + [b"502"]
    assert await client.closed()


async def test_too_many_commands_before_a_login(front: Submitted) -> None:
    """However many calls each of them has: nobody needs so many to log in."""
    client = await front.client()
    await client.reply()
    client.write(b"RCPT\r\n" * 1_000)
    said = [(await client.reply())[:9] for _ in range(BEFORE_LOGIN_MOST + 1)]
    assert said == [b"530 5.7.0"] * BEFORE_LOGIN_MOST + [b"421 4.7.0"]
    assert await client.closed()
    assert front.ended("too_many_commands") == 1


async def test_commands_that_were_sent_at_once_leave_others_their_turn(
    front: Submitted, server: SubmissionServer
) -> None:
    client = await front.client()
    await client.logged_in()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(turn())
    client.write(b"RCPT\r\n" * 1_000)
    said = [(await client.reply())[:9] for _ in range(1_000)]
    task.cancel()
    assert said == [b"503 5.5.1"] * 1_000
    assert turns >= 1_000


async def test_one_command_too_often(front: Submitted) -> None:
    client = await front.client()
    await client.logged_in()
    client.write(b"EHLO x\r\n" * 201)
    said = [(await client.reply())[:3] for _ in range(200)]
    assert said == [b"250"] * 199 + [b"421"]
    assert await client.closed()


async def test_a_mistake_of_ours_is_not_told_and_ends_the_session(
    front: Submitted, server: SubmissionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await front.client()
    await client.logged_in()
    (seat,) = front.front.admission.connections

    async def broken(octets: bytes) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(seat.connection.leg, "command", broken)  # type: ignore[attr-defined]
    said = await client.ask(b"MAIL FROM:<a@b.example>")
    assert said[:9] == b"451 4.3.0"
    assert b"secret" not in said
    assert (await client.reply())[:9] == b"421 4.3.0"
    assert await client.closed()


async def test_draining_ends_the_idle_at_once_and_messages_after_their_answer(
    front: Submitted, server: SubmissionServer
) -> None:
    idle, sending = await front.client(), await front.client()
    await idle.logged_in("idle")
    await sending.logged_in("sending")
    await sending.at_data()
    draining = asyncio.create_task(front.front.drain(10.0))
    assert (await idle.reply())[:9] == b"421 4.3.2"
    assert await idle.closed()
    assert not draining.done()
    assert (await sending.ask(b"whole\r\n."))[:3] == b"250"
    assert (await sending.reply())[:9] == b"421 4.3.2"
    await draining
    assert len(server.messages) == 1


async def test_draining_has_an_end(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    client.write(b"half")
    await front.front.drain(0.1)
    assert await client.closed()
    await until(lambda: server.open == 0)
    assert server.messages == []


async def test_who_has_come_may_send_though_others_serve_already(front: Submitted, server: SubmissionServer) -> None:
    resting, coming = await front.client(), await front.client()
    await resting.logged_in("resting")
    await coming.greeted()
    front.clock.ahead = 1.5
    draining = asyncio.create_task(front.front.drain(30.0, handed_over=True))
    assert (await coming.ask(b"AUTH PLAIN AGNvbWluZwBzZWNyZXQ="))[:3] == b"235"
    assert (await resting.reply())[:9] == b"421 4.3.2"
    assert (await coming.at_data())[:3] == b"354"
    assert (await coming.ask(b"whole\r\n."))[:3] == b"250"
    front.clock.ahead = 10.0
    assert (await coming.reply())[:9] == b"421 4.3.2"
    await draining
    assert len(server.messages) == 1
