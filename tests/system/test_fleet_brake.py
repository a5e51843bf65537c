"""The fleet brake around a whole gateway: a source that stops for a day, one that lists an app on every phone, a clock
that is set ahead a day. Each is tried with the brake and without, so that what it holds is seen to be its doing."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_http import ask, eas, request
from tests.support.running import Running
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer
from tests.system.arranging import enforce_tiktok, exported, set_unknowns
from tests.system.moved_time import DAY, HOUR, Time, agent, moved

STOPS = [f"anna{number}" for number in range(25)]
GOES_ON = [f"bert{number}" for number in range(10)]
WITHIN_SECONDS = 20.0
FREE = "[brake]\nstop_ageing = false"


async def refused_of(gateway: Running, names: list[str]) -> int:
    """How many of these have no mail."""
    count = 0
    for name in names:
        answer = await ask(gateway.http, request(eas("FolderSync", name, f"ID{name}"), FOLDER_SYNC, user=name))
        count += answer.body != f"mail for {name}".encode()
    return count


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await found():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def brake_of(gateway: Running) -> dict[str, Any]:
    async with gateway.api() as api:
        found: dict[str, Any] = (await api.get("/brake")).json()
    return found


async def held(gateway: Running) -> dict[str, int]:
    """Sources whose lists do not age, with how many devices."""
    holds = (await brake_of(gateway))["holds"]
    return {each["source"]: each["devices"] for each in holds if each["trouble"] == "stale"}


async def looked(gateway: Running) -> None:
    """Wait until control has looked beyond the present moment, and until the worker has heard of it."""

    async def far_enough() -> bool:
        return not (await brake_of(gateway))["standing_still"]

    await until(far_enough)
    await asyncio.sleep(0.5)


async def warnings(gateway: Running) -> str:
    async with gateway.api() as api:
        return "\n".join((await api.get("/status")).json()["warnings"])


@pytest.mark.parametrize("more", ["", FREE])
async def test_a_source_that_stops_for_a_day(tmp_path: Path, mailbox: MailboxServer, more: str) -> None:
    async with (
        moved(tmp_path, mailbox.url, more) as (gateway, at),
        agent(gateway, at, "agents") as stops,
        agent(gateway, at, "jamf") as goes_on,
    ):
        await stops.clean_all(STOPS)
        await goes_on.clean_all(GOES_ON)
        assert await refused_of(gateway, [*STOPS, *GOES_ON]) == 0
        await set_unknowns(gateway, "stale")
        for _ in range(4):
            await at.passes(7 * HOUR)
            await goes_on.clean_all(GOES_ON)
            await looked(gateway)
        if more:
            assert await refused_of(gateway, STOPS) == 25
            return
        assert await refused_of(gateway, [*STOPS, *GOES_ON]) == 0
        assert await held(gateway) == {"agents": 25}
        assert "25 devices have mail although the lists of source agents grow too old" in await warnings(gateway)
        assert "fleet brake holds" in await gateway.gatepost("why", "anna1")
        # A few of the other one are refused meanwhile, as ever.
        await refuses_few_of_the_other(gateway, at, goes_on.clean_all)
        await comes_back(gateway, stops.clean_all)


async def refuses_few_of_the_other(
    gateway: Running, at: Time, clean_all: Callable[[list[str]], Awaitable[None]]
) -> None:
    for _ in range(2):
        await at.passes(13 * HOUR)
        await clean_all(GOES_ON[1:])
        await looked(gateway)
    assert await refused_of(gateway, GOES_ON) == 1
    assert await refused_of(gateway, STOPS) == 0


async def comes_back(gateway: Running, clean_all: Callable[[list[str]], Awaitable[None]]) -> None:
    """All but three report again: the hold ends by itself, and the three are refused."""
    await clean_all(STOPS[3:])

    async def ended() -> bool:
        return not await held(gateway) and await refused_of(gateway, STOPS) == 3

    await until(ended)
    events = [entry["event"] for entry in gateway.log]
    assert events.count("brake_held") == events.count("brake_ended") == 1
    assert [each["act"] for each in await exported(gateway, "brake")] == ["held", "ended"]


async def test_an_operator_lets_go(tmp_path: Path, mailbox: MailboxServer) -> None:
    async with moved(tmp_path, mailbox.url) as (gateway, at), agent(gateway, at, "agents") as stops:
        await stops.clean_all(STOPS)
        assert await refused_of(gateway, STOPS) == 0
        await set_unknowns(gateway, "stale")
        await at.passes(25 * HOUR)
        await looked(gateway)
        assert await refused_of(gateway, STOPS) == 0
        assert "held on: 25 devices" in await gateway.gatepost("brake", "confirm", "agents", "--for", "2h")
        assert "confirmed by admin for another" in await warnings(gateway)
        await gateway.gatepost("brake", "release", "agents", "--yes")

        async def all_refused() -> bool:
            return await refused_of(gateway, STOPS) == 25

        await until(all_refused)
        assert "let go: source agents" in await gateway.gatepost("brake", "status")
        acts = await exported(gateway, "brake")
        assert [(each["act"], each["actor"]) for each in acts] == [
            *(("held", "gatepost"), ("confirmed", "admin"), ("released", "admin"))
        ]
        assert {(each["source"], each["trouble"], each["devices"]) for each in acts} == {("agents", "stale", 25)}


@pytest.mark.parametrize("hold_hits", [False, True])
async def test_a_source_that_lists_one_app_on_every_phone(
    tmp_path: Path, mailbox: MailboxServer, hold_hits: bool
) -> None:
    more = f"[brake]\nhold_hits = {str(hold_hits).lower()}"
    async with moved(tmp_path, mailbox.url, more) as (gateway, at), agent(gateway, at, "agents") as wrong:
        await enforce_tiktok(gateway)
        await wrong.clean_all(STOPS)
        # The first one is right: known before the others come.
        assert await wrong.dirty_all(STOPS[:1]) == [202]
        await counted(gateway, 25)
        answers = await wrong.dirty_all(STOPS[1:])
        # With the twentieth there are too many; those after it wait.
        expected = [202] * 19 + ([503] * 5 if hold_hits else [202] * 5)
        assert answers == expected
        assert await refused_of(gateway, STOPS) == 1 + expected.count(202)
        (hold,) = (await brake_of(gateway))["holds"]
        assert (hold["source"], hold["ban"], hold["holding"], hold["devices"]) == ("agents", "TikTok", hold_hits, 20)
        told = [entry["event"] for entry in gateway.log if str(entry["event"]).startswith("brake_")]
        assert told == ["brake_held" if hold_hits else "brake_alarm"]
        await audited(gateway, "held" if hold_hits else "alarmed")
        if hold_hits:
            assert "that newly find ban TikTok wait" in await warnings(gateway)
            await gateway.gatepost("brake", "release", "agents", "hits", "--ban", "TikTok", "--yes")
            await taken_again(wrong.dirty_all)
            assert await refused_of(gateway, STOPS) == 25
            await audited(gateway, "held", "released")


async def audited(gateway: Running, *acts: str) -> None:
    """What the exported log says of hits of one ban; it is intact."""
    said = await exported(gateway, "brake")
    assert [each["act"] for each in said] == list(acts)
    assert {(each["source"], each["trouble"], each["ban"]) for each in said} == {("agents", "hits", "TikTok")}


async def counted(gateway: Running, devices: int) -> None:
    """Wait until the index of the fleet has seen the phones ask."""
    assert await refused_of(gateway, STOPS) == 1
    async with gateway.api() as api:

        async def known() -> bool:
            return bool((await api.get("/status")).json()["stored"]["mail_devices"] >= devices)

        await until(known)


async def taken_again(dirty_all: Callable[[list[str]], Awaitable[list[int]]]) -> None:
    async def taken() -> bool:
        return await dirty_all(STOPS[20:]) == [202] * 5

    await until(taken)


@pytest.mark.parametrize("more", ["", FREE])
async def test_a_clock_that_is_set_ahead_a_day_and_believed(tmp_path: Path, mailbox: MailboxServer, more: str) -> None:
    async with moved(tmp_path, mailbox.url, more) as (gateway, at), agent(gateway, at, "agents") as reports:
        await reports.clean_all(STOPS)
        assert await refused_of(gateway, STOPS) == 0
        await set_unknowns(gateway, "stale")
        await looked(gateway)
        at.set_wall_clocks(DAY + HOUR)

        async def believed() -> bool:
            return sum(entry["event"] == "clock_believed" for entry in gateway.log) >= 2

        await until(believed)
        await looked(gateway)
        if more:
            assert await refused_of(gateway, STOPS) == 25
            return
        assert await refused_of(gateway, STOPS) == 0
        assert await held(gateway) == {"agents": 25}
        assert any(entry["event"] == "clock_jumped" for entry in gateway.log)
        # Set right again, nothing needs to be held any more.
        at.set_wall_clocks(0.0)

        async def over() -> bool:
            return not await held(gateway)

        await until(over)
        assert await refused_of(gateway, STOPS) == 0
