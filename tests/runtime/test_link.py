"""The link: messages both ways, in order, bounded, and the end of the other side; on both event loops."""

import asyncio
import json
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.link import UNSENT_BYTES, Link, LinkMissing, SupervisorLink

Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    def runner(work: Coroutine[Any, Any, None]) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as running:
            running.run(asyncio.wait_for(work, 30))

    return runner


def pair() -> tuple[Link, Link]:
    ours, theirs = socket.socketpair()
    return Link(ours), Link(theirs)


def test_messages_arrive_in_order_and_the_end_is_seen(run: Runner) -> None:
    async def work() -> None:
        ours, theirs = pair()
        got: list[Any] = []
        for number in range(50):
            ours.send({"type": "status", "number": number, "text": "é\n" * 10})
        ours.close()
        await theirs.run(got.append)
        assert [message["number"] for message in got] == list(range(50))
        assert got[0]["text"] == "é\n" * 10
        theirs.close()

    run(work())


def test_more_than_the_socket_holds_waits_in_memory(run: Runner) -> None:
    async def work() -> None:
        ours, theirs = pair()
        got: list[Any] = []
        sending = asyncio.create_task(ours.run(lambda message: None))
        await asyncio.sleep(0)
        for number in range(30):
            ours.send({"number": number, "text": "x" * 100_000})
        everything = asyncio.Event()

        def take(message: Any) -> None:
            got.append(message["number"])
            if len(got) == 30:
                everything.set()

        receiving = asyncio.create_task(theirs.run(take))
        await everything.wait()
        assert got == list(range(30))
        assert ours.dropped == 0
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        theirs.close()
        await sending
        ours.close()

    run(work())


def test_a_side_that_never_reads_costs_bounded_memory() -> None:
    ours, theirs = pair()
    for _ in range(100):
        ours.send({"text": "x" * (UNSENT_BYTES // 10)})
    assert ours.dropped > 50
    ours.close()
    theirs.close()


def test_sending_to_nobody_is_no_mistake(run: Runner) -> None:
    async def work() -> None:
        ours, theirs = pair()
        theirs.close()
        for _ in range(3):
            ours.send({"type": "status"})
        await ours.run(lambda message: None)
        ours.close()

    run(work())


@pytest.mark.parametrize("octets", [b"{nonsense\n", b"[]\n", b"null\n", b"\xff\n", b"\n"])
def test_what_is_no_message_comes_out_as_an_error(run: Runner, octets: bytes) -> None:
    async def work() -> None:
        raw, theirs = socket.socketpair()
        link = Link(theirs)
        raw.sendall(octets)
        with pytest.raises(ValueError, match=r"JSON|Expecting|codec"):
            await link.run(lambda message: None)
        raw.close()
        link.close()

    run(work())


def test_an_endless_line_ends_the_link(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.runtime.link.LINE_BYTES", 1000)

    async def work() -> None:
        raw, theirs = socket.socketpair()
        link = Link(theirs)
        raw.sendall(b"x" * 2000)
        await link.run(lambda message: None)
        raw.close()
        link.close()

    run(work())


@given(st.lists(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.none()))), st.integers(1, 50))
def test_any_cut_of_the_stream_gives_the_same_messages(messages: list[dict[str, Any]], piece: int) -> None:
    octets = b"".join(json.dumps(message).encode() + b"\n" for message in messages)

    async def work() -> None:
        raw, theirs = socket.socketpair()
        link = Link(theirs)
        got: list[Any] = []
        task = asyncio.create_task(link.run(got.append))
        for start in range(0, len(octets), piece):
            raw.sendall(octets[start : start + piece])
            await asyncio.sleep(0)
        raw.close()
        await task
        link.close()
        assert got == messages

    asyncio.run(work())


def test_a_process_without_supervisor_is_told_so() -> None:
    with pytest.raises(LinkMissing, match="use gatepost run"):
        SupervisorLink.inherited({})
    with pytest.raises(LinkMissing):
        SupervisorLink.inherited({"GATEPOST_LINK": "99999", "GATEPOST_SOCKETS": "[]"})


def test_what_is_inherited_is_used_once_and_signals_are_left_to_the_supervisor() -> None:
    ours, theirs = socket.socketpair()
    served = socket.create_server(("127.0.0.1", 0))
    rows = [{"part": "http", "url": "http://127.0.0.1:1", "fd": served.detach()}]
    environment = {"GATEPOST_LINK": str(theirs.detach()), "GATEPOST_SOCKETS": json.dumps(rows), "PATH": "/bin"}
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        link = SupervisorLink.inherited(environment)
        assert all(signal.getsignal(number) is signal.SIG_IGN for number in before)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert environment == {"PATH": "/bin"}
    [bound] = link.sockets("http")
    assert bound.url == "http://127.0.0.1:1"
    assert link.sockets("admin") == ()
    link.send({"type": "ready"})
    assert json.loads(ours.recv(100)) == {"type": "ready"}
    link.close()
    bound.socket.close()
    ours.close()
