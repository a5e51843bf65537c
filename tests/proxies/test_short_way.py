"""The short way answers as the long one does, whatever happens between two requests; and it is taken."""

import gc
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.domain.ageing import Ageing
from gateway.domain.policy import Policy
from gateway.network.upstream import UpstreamPool
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.usual_exchange import UsualExchange
from tests.support.fronted import BAN, Fronted, fronted, settled, until
from tests.support.kept import kept
from tests.support.raw_http import Client, basic, eas, request
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer

SYNC = bytes.fromhex("03016a00455c4f4b033000015203350001010101")
BODIES = {"FolderSync": FOLDER_SYNC, "Sync": SYNC}
USERS = ("anna", "berta")
DEVICES = ("phone1", "phone2")


def asked(command: str = "Sync", user: str = "anna", device: str = "phone1", *, secret: str = "secret") -> bytes:  # noqa: S107
    octets = request(eas(command, user, device), BODIES[command], user=user)
    return octets.replace(basic(user).encode(), basic(user, secret).encode())


class Watched:
    """A gateway of which is known which requests took the short way."""

    def __init__(self, gateway: Fronted, *, shut: bool = False) -> None:
        self.gateway = gateway
        self.taken: list[bool] = []
        way = gateway.front.short_way
        begin = way.begin

        def begun(client: ClientConnection, octets: bytes, now: float, clock: float) -> bool:
            self.taken.append(not shut and begin(client, octets, now, clock))
            return self.taken[-1]

        way.begin = begun  # type: ignore[method-assign]

    def evict(self, login: str) -> None:
        """What the cache does when it is full and nobody asked for a login lately."""
        cache = self.gateway.cache
        entry = cache.entries.get(login)
        if entry is not None:
            capacity, cache._capacity = cache._capacity, len(cache.entries)
            for each in cache.entries.values():
                each.used = each is not entry
            cache._evict_one()
            cache._capacity = capacity
        assert login not in cache.entries


@asynccontextmanager
async def watched(mailbox: MailboxServer, *, shut: bool = False) -> AsyncIterator[Watched]:
    async with fronted(mailbox.url, start=True) as gateway:
        for user in USERS:
            for device in DEVICES:
                gateway.clean(user, device)
        yield Watched(gateway, shut=shut)


async def regular(gateway: Watched) -> Client:
    """A phone that has mail by the short way."""
    client = await gateway.gateway.client()
    for _ in range(3):
        assert (await client.ask(asked())).status == 200
    assert gateway.taken[-1]
    assert len(gateway.gateway.front.short_way.standings.by_mark) == 1
    return client


async def test_a_phone_that_comes_again_takes_it(mailbox: MailboxServer) -> None:
    async with watched(mailbox) as gateway:
        client = await regular(gateway)
        looked = gateway.gateway.decision.judge
        gateway.gateway.decision.judge = None  # type: ignore[method-assign, assignment]
        try:
            assert (await client.ask(asked())).status == 200
        finally:
            gateway.gateway.decision.judge = looked  # type: ignore[method-assign]
        assert gateway.taken[-1]
        assert mailbox.received[-1].header("X-Forwarded-For") == "127.0.0.1"


async def test_nothing_of_a_phone_that_leaves_waits_for_the_garbage_collector(mailbox: MailboxServer) -> None:
    """Which looks at what has been there for a while as good as never."""
    async with watched(mailbox) as gateway:
        front = gateway.gateway.front
        client = await regular(gateway)
        mailbox.parking.add("Sync")
        client.write(asked())
        await mailbox.until_parked(1)
        (connection,) = front.admission.connections
        assert isinstance(connection.exchange, UsualExchange)
        number = id(connection)
        del connection
        gc.disable()
        try:
            client.abort()
            await until(lambda: not front.admission.connections)
            await settled()
            there = [each for each in gc.get_objects() if isinstance(each, ClientConnection) and id(each) == number]
            assert there == []
        finally:
            gc.enable()


async def test_who_stops_and_goes_on_taking_within_a_round_has_one_request_at_a_time(mailbox: MailboxServer) -> None:
    """Of two at once the first would be known to nobody any more, and keep its connection to the mail server."""
    async with watched(mailbox) as gateway:
        await regular(gateway)
        front = gateway.gateway.front
        (behind,) = front.admission.connections
        assert isinstance(behind, ClientConnection)
        before = len(mailbox.received)
        open_body = request(eas("Sync", "anna", "phone1"), SYNC, user="anna", Content_Length="10000")
        behind.data_received(open_body)
        behind.pause_writing()
        behind.resume_writing()
        await settled()
        exchange = behind.exchange
        assert exchange is not None
        behind.data_received(asked())
        await settled()
        assert behind.exchange is exchange
        assert behind._body is not None
        assert behind._body.received == len(SYNC) + len(asked())
        assert len(list(gateway.gateway.decision.sessions)) == 1
        assert len(mailbox.received) == before


def unsettle(gateway: Watched, rounds: int) -> None:
    """All idle connections to the mail server have become free so many rounds ahead: before that none can be used."""
    front = gateway.gateway.front
    for connection in front.upstreams.pools[0]._idle:
        connection.idle_round = front.rounds.number + rounds


async def test_it_waits_a_round_for_a_connection_that_has_just_become_free(mailbox: MailboxServer) -> None:
    """The pool does not grow then: it would be the same in each round, and the long way costs several times as much."""
    async with watched(mailbox) as gateway:
        client = await regular(gateway)
        for _ in range(3):
            unsettle(gateway, 1)
            assert (await client.ask(asked())).status == 200
            assert gateway.taken[-2:] == [False, True]
        assert (await client.ask(asked())).status == 200
        assert gateway.taken[-2:] == [True, True]


async def test_it_waits_one_round_and_no_more(mailbox: MailboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(mailbox) as gateway:
        client = await regular(gateway)
        monkeypatch.setattr(UpstreamPool, "take_settled", lambda pool, clock: None)
        for _ in range(2):
            gateway.taken.clear()
            assert (await client.ask(asked())).status == 200
            assert gateway.taken == [False, False]
        monkeypatch.undo()
        assert (await client.ask(asked())).status == 200
        assert gateway.taken[-1]


async def test_what_comes_while_it_waits_is_looked_at_together(mailbox: MailboxServer) -> None:
    async with watched(mailbox) as gateway:
        client = await regular(gateway)
        unsettle(gateway, 1)
        client.write(asked() + asked())
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]


async def test_that_somebody_has_looked_further_ahead_costs_no_phone_a_longer_look(mailbox: MailboxServer) -> None:
    """It happens every five minutes, and most phones ask less often."""
    async with watched(mailbox) as gateway:
        now, decision = gateway.gateway.now(), gateway.gateway.decision
        await decision.let_age(Ageing(now + 600))
        await regular(gateway)
        (standing,) = gateway.gateway.front.short_way.standings.by_mark.values()
        await decision.let_age(Ageing(now + 900))
        assert decision.policy.ageing.until == now + 900
        assert standing.holds(decision, now)
        await decision.let_age(Ageing(now + 800))
        assert not standing.holds(decision, now)


async def test_a_phone_that_does_not_come_again_keeps_no_old_policy(mailbox: MailboxServer) -> None:
    """With the answers about all apps that it has remembered, which may be 200,000."""
    async with watched(mailbox) as gateway:
        await regular(gateway)
        gc.collect()
        before = len(kept(Policy))
        for _ in range(5):
            await gateway.gateway.ban()
            await gateway.gateway.ban(BAN)
        gc.collect()
        assert len(gateway.gateway.front.short_way.standings.by_mark) == 1
        assert len(kept(Policy)) == before


@pytest.mark.parametrize(
    "what", ["report", "ban", "evicted and then a report", "everybody", "state lost", "time", "everything begins anew"]
)
async def test_its_verdict_ends_with_what_it_followed_from(mailbox: MailboxServer, what: str) -> None:
    async with watched(mailbox) as gateway:
        fronted = gateway.gateway
        if what == "time":
            await fronted.ban_from(fronted.now() + 1000)
            fronted.dirty("anna", "phone1")
        if what == "ban":
            await fronted.ban()
            fronted.dirty("anna", "phone1")
        client = await regular(gateway)
        if what == "report":
            fronted.dirty("anna", "phone1")
        elif what == "ban":
            await fronted.ban(BAN)
        elif what == "evicted and then a report":
            gateway.evict("anna")
            fronted.dirty("anna", "phone1")
        elif what == "everybody":
            await fronted.decision.everybody_changed(fronted.evidence.put("anna", "phone1"))
        elif what == "everything begins anew":
            fronted.cache.begin_anew("another", fronted.evidence.put("anna", "phone1"))
        elif what == "state lost":
            fronted.decision.state_lost = True
        elif what == "time":
            fronted.now.ahead = 995.0
        reads, taken = fronted.evidence.reads, len(gateway.taken)
        answer = await client.ask(asked())
        assert gateway.taken[taken:] == [False]
        if what in ("report", "ban", "evicted and then a report"):
            assert b"\x03129" in answer.body
        elif what == "state lost":
            assert answer.status == 503
        else:
            assert answer.status == 200
            assert fronted.evidence.reads == reads + (what != "time")


async def test_another_password_is_another_question(mailbox: MailboxServer) -> None:
    async with watched(mailbox) as gateway:
        client = await regular(gateway)
        assert (await client.ask(asked(secret="wrong"))).status == 401
        assert [each.accepted for each in mailbox.received if each.method == "POST"] == [True, True, True, False]


async def test_two_requests_of_one_round_get_their_own_answers(mailbox: MailboxServer) -> None:
    async with watched(mailbox) as gateway:
        clients = [await gateway.gateway.client() for _ in range(6)]
        for turn in range(4):
            for number, client in enumerate(clients):
                client.write(asked(("FolderSync", "Sync")[(number + turn) % 2], USERS[number % 2]))
            for number, client in enumerate(clients):
                answer = await client.answer()
                assert (answer.status, answer.body) == (200, f"mail for {USERS[number % 2]}".encode())
        assert gateway.gateway.decision.sessions.count == 0


async def outcome(client: Client, octets: bytes) -> tuple[int, bytes]:
    answer = await client.ask(octets)
    return answer.status, answer.body


@pytest.mark.parametrize("seed", range(8))
async def test_with_it_and_without_it_the_answers_are_the_same(mailbox: MailboxServer, seed: int) -> None:
    draw = random.Random(seed)
    async with watched(mailbox) as short, watched(mailbox, shut=True) as long:
        both = (short, long)
        clients = [[await each.gateway.client() for _ in range(2)] for each in both]
        for _ in range(120):
            user, device = draw.choice(USERS), draw.choice(DEVICES)
            what = draw.choice(["ask"] * 12 + ["clean", "dirty", "ban", "no ban", "later", "evict", "state", "time"])
            if what == "ask":
                octets = asked(draw.choice(list(BODIES)), user, draw.choice((device, device.upper())))
                number = draw.randrange(2)
                answers = [await outcome(each[number], octets) for each in clients]
                assert answers[0] == answers[1]
            moment = draw.random() * 100
            for each in both:
                gateway = each.gateway
                if what == "clean":
                    gateway.clean(user, device)
                elif what == "dirty":
                    gateway.dirty(user, device)
                elif what == "ban":
                    await gateway.ban(BAN)
                elif what == "no ban":
                    await gateway.ban()
                elif what == "later":
                    await gateway.ban(replace(BAN, starts_at=gateway.now() + moment))
                elif what == "evict":
                    each.evict(user)
                elif what == "state":
                    gateway.decision.state_lost = not gateway.decision.state_lost
                elif what == "time":
                    gateway.now.ahead += moment
        assert any(short.taken)
