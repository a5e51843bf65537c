"""One target that can never be ended: nobody who stands in a batch with it is ended again and again for that."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.authz import command_means
from gateway.authz import cutter as cutter_module
from gateway.authz.command_means import CommandMeans
from gateway.authz.cutter import CutFailed
from gateway.authz.doveadm_means import DoveadmMeans
from gateway.authz.haproxy_client import HaproxyClient
from gateway.authz.haproxy_means import HaproxyMeans
from tests.support.cutting import Cutting
from tests.support.fake_haproxy import fake_haproxy
from tests.support.fronted import settled, until

USERS = ("alice", "carl", "bob")
FOR_EVER = 1_000_000


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again at once."""
    monkeypatch.setattr(cutter_module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 0.0)


async def denied_together(cutting: Cutting) -> None:
    """All users, who were let in long enough ago to be ended once."""
    for user in USERS:
        assert await cutting.login(user) == 0
    cutting.clock.ahead += 2 * cutter_module.YOUNG_SECONDS
    for user in USERS:
        cutting.asking.dirty(f"{user}@corp.example", "phone")
    await until(lambda: cutting.means.tried > 0)


async def a_minute_of_looks(cutting: Cutting) -> None:
    """One each second."""
    for _ in range(60):
        cutting.clock.ahead += 1
        cutting.let_in.sweep()
        # Or the cutter would not look at this clock.
        cutting.cut.cutter._wake.set()
        await settled()


@pytest.mark.parametrize("says_who", [True, False])
async def test_who_was_ended_beside_one_that_cannot_be_is_ended_no_more(cutting: Cutting, says_who: bool) -> None:
    cutting.means.never, cutting.means.says_who = {"bob"}, says_who
    with capture_logs() as logged:
        await denied_together(cutting)
        await until(lambda: cutting.counted("ended") == 2)
        cutting.clock.ahead += cutter_module.GIVE_UP_SECONDS + 1
        await until(lambda: cutting.counted("given_up") == 1)
        # Where it is not told which one it was, it is found out by taking fewer.
        assert len(cutting.means.kicked) <= (2 if says_who else 5)
        kicked, tried = len(cutting.means.kicked), cutting.means.tried
        await a_minute_of_looks(cutting)
    assert cutting.means.tried > tried
    assert cutting.means.kicked[kicked:] == []
    assert sorted(each["login"] for each in logged if each["event"] == "cut") == [
        "alice@corp.example",
        "carl@corp.example",
    ]
    assert [each.target for each in cutting.let_in._sessions.values()] == ["bob"]


async def test_nor_where_all_had_been_given_up_before(cutting: Cutting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The means were away; as they are back, all but one can be ended."""
    cutting.means.failures = FOR_EVER
    await denied_together(cutting)
    cutting.clock.ahead += cutter_module.GIVE_UP_SECONDS + 1
    await until(lambda: cutting.counted("given_up") == 3)
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 10.0)
    cutting.means.failures, cutting.means.never = 0, {"bob"}
    await a_minute_of_looks(cutting)
    kicked, tried = list(cutting.means.kicked), cutting.means.tried
    assert set(kicked) == {"alice", "carl"}
    await a_minute_of_looks(cutting)
    assert cutting.means.tried > tried
    assert cutting.means.kicked == kicked


async def test_where_somebody_was_ended_the_pause_is_short_again(cutting: Cutting) -> None:
    """The means can be used, though one target always fails."""
    cutting.means.never, cutting.means.says_who = {"bob"}, True
    cutting.cut.cutter._pause = 1000.0
    await denied_together(cutting)
    await until(lambda: cutting.means.tried > 2)


# --- the means tell which ones


async def test_all_are_given_up_in_time_by_means_that_are_away(
    cutting: Cutting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though fewer and fewer are tried at a time, and then one by one with the longest of pauses."""
    cutting.means.failures = FOR_EVER
    users = [f"user{number}" for number in range(40)]
    for user in users:
        assert await cutting.login(user) == 0
    cutting.clock.ahead += 2 * cutter_module.YOUNG_SECONDS
    for user in users:
        cutting.asking.dirty(f"{user}@corp.example", "phone")
    await until(lambda: cutting.means.tried > 5)
    tried = cutting.means.tried
    cutting.clock.ahead += cutter_module.GIVE_UP_SECONDS + 1
    await until(lambda: cutting.counted("given_up") == len(users))
    assert cutting.means.tried <= tried + 2


async def test_one_who_cannot_be_ended_does_not_hide_that_cuts_go_on(cutting: Cutting) -> None:
    cutting.means.never, cutting.means.says_who, cutting.means.failures = {"bob"}, True, 1
    with capture_logs() as logged:
        await denied_together(cutting)
        await until(lambda: cutting.counted("ended") == 2)
        # He alone is left then.
        said = ["cut_failed", "cuts_go_on", "cut_failed"]
        await until(lambda: [each["event"] for each in logged if each["event"][:4] in ("cut_", "cuts")][:3] == said)


async def test_a_program_that_fails_for_one_has_ended_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_means, "SECONDS", 60.0)
    code = "import sys; sys.exit({'bob': 'cannot', 'carl': 68}.get(sys.argv[1], 0))"
    with pytest.raises(CutFailed, match="ended with 1: cannot") as failed:
        await CommandMeans([sys.executable, "-c", code, "{user}"]).cut(USERS)
    assert (failed.value.failed, failed.value.ended) == ({"bob"}, 1)


@asynccontextmanager
async def doveadm_that_says(said: object) -> AsyncIterator[DoveadmMeans]:
    """Of one request."""
    body = json.dumps(said).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    means = DoveadmMeans(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "key")
    yield means
    await means.close()
    server.close()


NOBODY = ["error", {"type": "exitCode", "exitCode": 68}, "1"]


@pytest.mark.parametrize("odd", [[["error", {"type": "exitCode", "exitCode": 75}, "2"]], []])
async def test_doveadm_that_fails_for_one_has_ended_the_others(odd: list[object]) -> None:
    async with doveadm_that_says([["doveadmResponse", [], "0"], NOBODY, *odd]) as means:
        with pytest.raises(CutFailed, match=r"doveadm (says error|has not answered)") as failed:
            await means.cut(USERS)
    assert (failed.value.failed, failed.value.ended) == ({"bob"}, 1)


async def test_doveadm_whose_answer_cannot_be_read_tells_of_nobody() -> None:
    async with doveadm_that_says({}) as means:
        with pytest.raises(CutFailed) as failed:
            await means.cut(USERS)
    assert failed.value.failed is None


async def test_of_two_haproxies_the_one_that_is_away_fails_nobody_of_the_other(tmp_path: Path) -> None:
    here, elsewhere = "192.0.2.7:4711", "192.0.2.8:4711"
    async with fake_haproxy(tmp_path) as haproxy:
        haproxy.sessions = [f"0x55d800000000: proto=tcpv4 src={here} fe=mail be=mail_server srv=mail age=1s calls=3"]
        means = HaproxyMeans([HaproxyClient(f"unix://{tmp_path}/none"), HaproxyClient(haproxy.url)])
        with pytest.raises(CutFailed, match="none") as failed:
            await means.cut([here, elsewhere])
    assert (failed.value.failed, failed.value.ended) == ({elsewhere}, 1)
