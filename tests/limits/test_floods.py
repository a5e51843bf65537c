"""Floods: whoever sends what, nothing grows without bound, by the sizes of the objects themselves."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from gateway.decision import device_cache, refusal_pace, sightings
from gateway.decision.device_cache import VERDICTS_PER_PERSON
from gateway.proxies import attempts, credential_check
from gateway.proxies.front import CLOSED_PATHS_NAMED
from tests.limits.neighbour import Neighbour, sync
from tests.support.fronted import Fronted, fronted, until
from tests.support.raw_http import Client, basic, eas, request
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer

FLOOD = 600
AT_ONCE = 8
OUTCOMES_MOST = 20
"""Labels that one command has in the metrics; there are fewer."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds that hold tens of thousands otherwise, so that a test reaches them."""
    for module, name in (
        (attempts, "LOGINS_MOST"),
        (credential_check, "REMEMBERED_MOST"),
        (credential_check, "ONCE_ACCEPTED_MOST"),
        (refusal_pace, "REMEMBERED_MOST"),
        (sightings, "REMEMBERED"),
        (sightings, "WAITING"),
        (device_cache, "REMEMBERED_CHANGES"),
    ):
        monkeypatch.setattr(module, name, BOUND)


def sizes(gateway: Fronted) -> dict[str, int]:
    """How many entries there are of everything that what comes from outside can add to."""
    front, cache = gateway.front, gateway.cache
    return {
        "connections": len(front.admission.connections),
        "told": len(front.admission._told),
        "by_address": len(front.admission.by_address),
        "handshakes": front.admission.handshakes,
        "arrived": len(front._arrived),
        "known": len(front.checks._known),
        "once": len(front.checks._once),
        "under_way": len(front.checks._under_way),
        "attempts": len(front.checks._attempts),
        "paces": len(front.refusing.pace._paces),
        "standings": len(front.short_way.standings.by_mark),
        "closed_paths": len(front._closed_paths.values),
        "requests": len(front.requests.values),
        "bad_requests": len(front.bad_requests.values),
        "sessions": gateway.decision.sessions.count,
        "sighted": len(gateway.sightings._told),
        "sightings_waiting": len(gateway.sightings._waiting),
        "entries": len(cache.entries),
        "ring": len(cache._ring),
        "loads": len(cache._loads),
        "poisoned": len(cache._poisoned),
        "changed": len(cache._changed),
        "retries": len(gateway.decision._retries),
        "upstream": sum(pool.open for pool in front.upstreams.pools),
    }


BOUND = 64
MOST = {
    **dict.fromkeys(("known", "once", "attempts", "paces", "sighted", "sightings_waiting", "changed"), BOUND),
    **dict.fromkeys(("entries", "ring"), BOUND),
    **dict.fromkeys(("told", "handshakes", "arrived", "under_way", "loads", "poisoned", "retries"), 0),
    "connections": AT_ONCE + 2,
    "by_address": 2,
    "standings": FLOOD,
    "closed_paths": CLOSED_PATHS_NAMED + 1,
    "requests": 25 * OUTCOMES_MOST,
    "bad_requests": 20,
    "sessions": 1,
    "upstream": AT_ONCE + 2,
}


def within_bounds(gateway: Fronted, **most: int) -> None:
    """Nothing is larger than it may be."""
    over = {name: size for name, size in sizes(gateway).items() if size > {**MOST, **most}[name]}
    assert over == {}


async def flood(gateway: Fronted, requests: list[bytes]) -> list[int]:
    """Send them all over a few connections; the statuses."""

    async def some(mine: list[bytes]) -> list[int]:
        client = await gateway.client()
        found = []
        for octets in mine:
            answer = await client.ask(octets)
            found.append(answer.status)
            if answer.header("Connection") == "close":
                client.close()
                client = await gateway.client()
        client.close()
        return found

    parts = await asyncio.gather(*(some(requests[number::AT_ONCE]) for number in range(AT_ONCE)))
    return [status for part in parts for status in part]


def other_devices(number: int) -> bytes:
    return sync("anna", f"invented{number}")


def other_users(number: int) -> bytes:
    return sync(f"user{number}", "phone1")


def strangers(number: int) -> bytes:
    return sync(f"user{number}", "phone1", Authorization=basic(f"user{number}", "guess"))


def guesses(number: int) -> bytes:
    return sync("dirk", "phone1", Authorization=basic("dirk", f"guess{number}"))


def guesses_at_everybody(number: int) -> bytes:
    return sync(f"dirk{number}", "phone1", Authorization=basic(f"dirk{number}", "guess"))


def refused_devices(number: int) -> bytes:
    return sync("dirk", f"invented{number}")


def closed_paths(number: int) -> bytes:
    return request(f"/closed{number}/{number}", method="GET", Content_Length="")


def odd_commands(number: int) -> bytes:
    return request(eas(f"Invented{number}", "anna", "phone1"), FOLDER_SYNC, user="anna")


def odd_methods(number: int) -> bytes:
    return request(eas("Sync", "anna", "phone1"), method=f"INVENTED{number}", user="anna", Connection="close")


def odd_versions(number: int) -> bytes:
    return sync("anna", "phone1", MS_ASProtocolVersion=f"{number}.9", User_Agent=f"invented/{number}")


def odd_device_types(number: int) -> bytes:
    target = f"/Microsoft-Server-ActiveSync?Cmd=FolderSync&User=anna&DeviceId=phone1&DeviceType=Invented{number}"
    return request(target, FOLDER_SYNC, user="anna")


def no_requests(number: int) -> bytes:
    return f"INVENTED{number}\r\n\r\n".encode()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("one", "fills"),
    [
        (other_devices, ("sighted",)),
        (other_users, ("entries", "known", "once", "sighted")),
        (strangers, ("entries",)),
        (guesses, ()),
        (guesses_at_everybody, ("attempts", "known")),
        (refused_devices, ("paces", "sighted")),
        (closed_paths, ("closed_paths",)),
        (odd_commands, ()),
        (odd_methods, ()),
        (odd_versions, ()),
        (odd_device_types, ()),
        (no_requests, ()),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_a_flood_fills_nothing(
    mailbox: MailboxServer, neighbour: Neighbour, one: Callable[[int], bytes], fills: tuple[str, ...]
) -> None:
    """``fills``: what grows up to its bound by this flood, so that it is seen to have one."""
    async with fronted(mailbox.url) as gateway:
        gateway.cache._capacity = BOUND
        await neighbour.waits(gateway)
        for number in range(FLOOD):
            # These phones are refused.
            if one is guesses_at_everybody:
                gateway.dirty(f"dirk{number}", "phone1")
            elif one is refused_devices:
                gateway.dirty("dirk", f"invented{number}")
        gateway.dirty("dirk", "phone1")
        statuses = await flood(gateway, [one(number) for number in range(FLOOD)])
        assert len(statuses) == FLOOD
        assert all(statuses)
        await until(lambda: len(gateway.front.admission.connections) <= 1)
        within_bounds(gateway)
        reached = sizes(gateway)
        assert {name for name in fills if reached[name] < min(MOST[name], BOUND) - 1} == set()
        entry = gateway.cache.entries.get("anna")
        assert entry is None or len(entry.verdicts) <= 2 * VERDICTS_PER_PERSON
        await neighbour.is_unharmed(gateway)


async def test_a_flood_of_heads_that_never_end(mailbox: MailboxServer, neighbour: Neighbour) -> None:
    """Held by address, each with its time, and gone after it."""
    async with fronted(mailbox.url, max_connections_per_address=200) as gateway:
        await neighbour.waits(gateway)
        clients = [await gateway.client() for _ in range(200)]
        for client in clients:
            client.write(sync("anna")[:100])
        await until(lambda: sum(bool(each._buffer) for each in gateway.front._connections) == 200)
        within_bounds(gateway, connections=201)
        await neighbour.is_unharmed(gateway)
        gateway.clock.ahead += 16.0
        gateway.front.sweep()
        assert {(await client.answer()).status for client in clients} == {408}
        await until(lambda: not gateway.front.admission.connections)
        within_bounds(gateway)


async def test_a_flood_of_bodies_that_never_end(mailbox: MailboxServer) -> None:
    """While the record is loaded nothing can be forwarded: what is held of each body is bounded."""
    async with fronted(mailbox.url) as gateway:
        gateway.evidence.gate = asyncio.Event()
        mail = {"MS_ASProtocolVersion": "12.1", "Content_Type": "message/rfc822"}
        clients: list[Client] = []
        for number in range(20):
            octets = request(eas("SendMail", f"user{number}", "p1"), b"x" * 3_000_000, user=f"user{number}", **mail)
            clients.append(await gateway.client())
            clients[-1].write(octets)
        await until(lambda: all(each._paused for each in gateway.front._connections))
        held = [len(each.exchange._body) for each in gateway.front._connections]  # type: ignore[union-attr]
        assert len(held) == 20
        assert max(held) < 600_000
        gateway.evidence.gate.set()
        for client in clients:
            assert (await client.answer()).status == 200


def has_loads(gateway: Fronted, count: int) -> bool:
    return len(gateway.cache._loads) == count


async def test_loads_that_wait_are_bounded(mailbox: MailboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that hangs, clients that come, ask as another user each, and go: their loads stay behind."""
    monkeypatch.setattr(device_cache, "LOADS_MOST", BOUND)
    async with fronted(mailbox.url) as gateway:
        gateway.evidence.gate = asyncio.Event()
        for number in range(2 * BOUND):
            client = await gateway.client()
            client.write(sync(f"user{number}"))
            asked = min(number + 1, BOUND)
            await until(partial(has_loads, gateway, asked))
            client.close()
        await until(lambda: not gateway.front.admission.connections)
        assert len(gateway.cache._loads) == BOUND
        assert gateway.cache.failed_loads >= BOUND - 1
        gateway.evidence.gate.set()
        await until(lambda: not gateway.cache._loads)
        assert (await (await gateway.client()).ask(sync("anna"))).status == 200
