"""HAProxy's map is what the verdicts are: after answers and turns, after restarts of either, while it is written."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.authz import haproxy_feeder, haproxy_map
from gateway.authz.following import Following
from gateway.authz.haproxy_client import HaproxyClient
from gateway.authz.haproxy_feeder import MapFeeder
from gateway.authz.haproxy_map import VerdictMirror
from gateway.domain.access import AccessRequest
from tests.support.asking import Asking, asking
from tests.support.fake_haproxy import FakeHaproxy, fake_haproxy
from tests.support.fronted import BAN, TIKTOK, policy, settled, until
from tests.support.raw_http import eas
from tests.support.spop_frames import string

MAP = "/etc/haproxy/gatepost.map"
ALIVE = f"{MAP}.alive"


def key_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest().upper()


class Mapped:
    """Gatepost with a map at a HAProxy of a test."""

    def __init__(self, haproxy: FakeHaproxy) -> None:
        self.haproxy = haproxy
        self.asking: Asking
        self.mirror: VerdictMirror
        self.feeder: MapFeeder
        self.most = 1000

    def following(self, part: str, made: Asking) -> Following | None:
        """For HAProxy's part."""
        if part != "haproxy":
            return None
        self.mirror = VerdictMirror(made.decision, made.now, most=self.most)
        self.feeder = self.another_feeder(made)
        return Following(made.decision, made.rules, [], self.mirror, [self.feeder])

    def another_feeder(self, made: Asking) -> MapFeeder:
        """One more that feeds the same map."""
        return MapFeeder(HaproxyClient(self.haproxy.url), MAP, self.mirror.words, made.metrics, wall_clock=made.now)

    async def asked(self, user: str) -> str:
        """HAProxy asks about a user's phone, and hears."""
        uri = eas("FolderSync", user, f"{user}PHONE")
        variables = await self.asking.variables(uri, user, mapkey=string(key_of(user).encode()))
        return variables["verdict"]

    def holds(self) -> dict[str, str]:
        """The map, by users."""
        names = {key_of(user): user for user in ("anna", "bert", "cora", "dora")}
        return {names[key]: word for key, word in self.haproxy.holds(MAP).items()}

    async def until_holds(self, **words: str) -> None:
        """Wait for it."""
        await until(lambda: self.holds() == words)

    async def until_alive(self) -> None:
        """Wait until the map may be believed."""
        await until(lambda: "at" in dict(self.haproxy.maps[ALIVE]))


@pytest.fixture
async def mapped(tmp_path: Path) -> AsyncIterator[Mapped]:
    """Anna's phone is clean, Bert's is not."""
    async with fake_haproxy(tmp_path, MAP, ALIVE) as haproxy:
        made = Mapped(haproxy)
        async with asking(tmp_path, following=made.following) as made.asking:
            made.asking.clean("anna@corp.example", "annaphone")
            made.asking.dirty("bert@corp.example", "bertphone")
            await made.until_alive()
            yield made


async def test_it_begins_empty_and_learns_by_answers(mapped: Mapped) -> None:
    assert mapped.holds() == {}
    assert (await mapped.asked("anna"), await mapped.asked("bert")) == ("allow", "refuse")
    await mapped.until_holds(anna="allow", bert="deny")


async def test_it_turns_both_ways(mapped: Mapped) -> None:
    await mapped.asked("anna")
    await mapped.asked("bert")
    await mapped.until_holds(anna="allow", bert="deny")
    mapped.asking.dirty("anna@corp.example", "annaphone")
    mapped.asking.clean("bert@corp.example", "bertphone")
    await mapped.until_holds(anna="deny", bert="allow")


async def test_an_edit_of_the_policy_turns_it(mapped: Mapped) -> None:
    await mapped.asked("bert")
    await mapped.until_holds(bert="deny")
    await mapped.asking.decision.use(policy(number=2))
    await mapped.until_holds(bert="allow")
    await mapped.asking.decision.use(policy(BAN, number=3))
    await mapped.until_holds(bert="deny")


async def test_what_cannot_be_known_now_is_asked_for(mapped: Mapped) -> None:
    await mapped.asked("anna")
    await mapped.until_holds(anna="allow")
    mapped.asking.decision.state_lost = True
    await mapped.asking.decision.rejudge_all()
    await mapped.until_holds()
    assert await mapped.asked("anna") == "defer"
    await settled()
    assert mapped.holds() == {}


async def test_a_verdict_ends_by_itself(mapped: Mapped) -> None:
    made = mapped.asking
    await made.decision.use(policy(replace(BAN, starts_at=made.now() + 600), number=2))
    await mapped.asked("bert")
    await mapped.until_holds(bert="allow")
    made.now.ahead += 601
    mapped.mirror.sweep()
    await mapped.until_holds(bert="deny")


async def test_a_haproxy_that_was_restarted_has_all_of_it_again(
    mapped: Mapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy_feeder, "BEAT_SECONDS", 0.01)
    await mapped.asked("anna")
    await mapped.asked("bert")
    await mapped.until_holds(anna="allow", bert="deny")
    mapped.haproxy.restart()
    await mapped.until_holds(anna="allow", bert="deny")
    await mapped.until_alive()


async def test_a_haproxy_that_was_away_has_all_of_it_again(mapped: Mapped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy_feeder, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(haproxy_feeder, "LONGEST_PAUSE_SECONDS", 0.01)
    await mapped.asked("anna")
    await mapped.until_holds(anna="allow")
    with capture_logs() as logged:
        await mapped.haproxy.stop()
        await until(lambda: not mapped.feeder.filled)
        mapped.asking.dirty("anna@corp.example", "annaphone")
        mapped.haproxy.restart()
        await mapped.haproxy.start()
        await mapped.until_alive()
    assert mapped.holds() == {"anna": "deny"}
    assert [each["event"] for each in logged if each["event"] == "haproxy_map_not_fed"] == ["haproxy_map_not_fed"]


async def test_it_is_not_believed_before_it_is_whole_and_right(mapped: Mapped) -> None:
    """A verdict that turns while the map is written is in it before the map counts."""
    await mapped.asked("anna")
    await mapped.until_holds(anna="allow")
    mapped.haproxy.gate, mapped.haproxy.gated = asyncio.Event(), "commit map"
    mapped.haproxy.restart()
    mapped.feeder.begin_anew()
    await until(lambda: any(line.startswith("commit map") for line in mapped.haproxy.lines[-1:]))
    mapped.asking.dirty("anna@corp.example", "annaphone")
    await until(lambda: mapped.mirror.words[key_of("anna")] == "deny")
    assert mapped.haproxy.maps[ALIVE] == []
    mapped.haproxy.gate.set()
    await mapped.until_alive()
    assert mapped.holds() == {"anna": "deny"}
    lines = [line.partition(" <<")[0] for line in mapped.haproxy.lines]
    assert lines.index(f"set map {MAP} {key_of('anna')} deny") < max(
        number for number, line in enumerate(lines) if line.startswith(f"add map {ALIVE}")
    )


async def test_an_edit_that_fails_has_all_of_it_written_again(mapped: Mapped) -> None:
    await mapped.asked("anna")
    await mapped.until_holds(anna="allow")
    mapped.haproxy.fail_next = "set map"
    mapped.asking.dirty("anna@corp.example", "annaphone")
    await mapped.until_holds(anna="deny")
    await mapped.until_alive()


async def test_many_entries_go_in_bounded_pieces(mapped: Mapped, monkeypatch: pytest.MonkeyPatch) -> None:
    request_of = {}
    for number in range(900):
        request_of[key_of(str(number))] = "allow"
    mapped.mirror.words.update(request_of)
    mapped.feeder.begin_anew()
    await until(lambda: len(mapped.haproxy.maps[MAP]) == 900)
    await mapped.until_alive()
    assert dict(mapped.haproxy.holds(MAP)) == request_of
    assert mapped.haproxy.longest <= 12_100


async def test_many_turns_are_one_new_version(mapped: Mapped, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit costs HAProxy a look at all of its entries."""
    monkeypatch.setattr(haproxy_feeder, "EDITS_MOST", 1)
    await mapped.asked("anna")
    await mapped.asked("bert")
    await mapped.until_holds(anna="allow", bert="deny")
    mapped.haproxy.lines.clear()
    for key in (key_of("anna"), key_of("bert")):
        mapped.mirror.words[key] = "deny" if mapped.mirror.words[key] == "allow" else "allow"
    for key in (key_of("anna"), key_of("bert")):
        mapped.feeder.turned(key)
    await mapped.until_holds(anna="deny", bert="allow")
    assert any(line.startswith("commit map") for line in mapped.haproxy.lines)
    assert not any(line.startswith(f"set map {MAP} ") for line in mapped.haproxy.lines)


async def test_a_full_map_begins_anew_and_not_again_and_again(tmp_path: Path) -> None:
    """Anybody can ask with names that he made up."""
    async with fake_haproxy(tmp_path, MAP, ALIVE) as haproxy:
        made = Mapped(haproxy)
        made.most = 2
        async with asking(tmp_path, following=made.following) as made.asking:
            await made.until_alive()
            for user in ("anna", "bert", "cora"):
                await made.asked(user)
            assert set(made.mirror.words) == {key_of("anna"), key_of("bert")}
            made.asking.now.ahead += haproxy_map.BEGIN_ANEW_SECONDS + 1
            await made.asked("dora")
            assert set(made.mirror.words) == {key_of("dora")}
            await made.until_holds(dora="allow")
            assert made.asking.decision.sessions.count == 1


async def test_of_two_gateposts_the_later_one_feeds(mapped: Mapped, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an upgrade: the old one lets be, and they do not write against one another."""
    monkeypatch.setattr(haproxy_feeder, "BEAT_SECONDS", 0.01)
    mapped.asking.now.ahead += 1
    later = mapped.another_feeder(mapped.asking)
    with capture_logs() as logged:
        task = asyncio.create_task(later.run())
        await until(lambda: later.filled and not mapped.feeder.filled)
        await until(lambda: "haproxy_map_fed_by_another" in [each["event"] for each in logged])
        fills = mapped.asking.metrics.families["gatepost_haproxy_map_fills_total"].get("done")
        lines = len(mapped.haproxy.lines)
        await until(lambda: len(mapped.haproxy.lines) > lines + 20)
        assert mapped.asking.metrics.families["gatepost_haproxy_map_fills_total"].get("done") == fills
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("key", [b"", b"short", b"a b" * 20, b"0" * 200, b"x;clear map /m" * 3])
async def test_what_is_no_key_is_not_learned(mapped: Mapped, key: bytes) -> None:
    uri = eas("FolderSync", "anna", "ANNAPHONE")
    assert (await mapped.asking.variables(uri, "anna", mapkey=string(key)))["verdict"] == "allow"
    assert mapped.mirror.words == {}


async def test_at_the_end_it_is_believed_no_longer(tmp_path: Path) -> None:
    async with fake_haproxy(tmp_path, MAP, ALIVE) as haproxy:
        made = Mapped(haproxy)
        async with asking(tmp_path, following=made.following) as made.asking:
            await made.until_alive()
        assert haproxy.maps[ALIVE] == []


async def test_moments_that_count_no_more_are_forgotten(mapped: Mapped) -> None:
    """Each report sets anew when a verdict ends, days ahead; of a phone that reports often there would be many."""
    made = mapped.asking
    assert await mapped.asked("anna") == "allow"
    entry = mapped.mirror._entries[key_of("anna")]
    verdict = made.decision.judge(entry.request)
    assert verdict is not None
    first = made.now() + 600.0
    for number in range(3 * haproxy_map.ENDS_BEYOND):
        entry.verdict_turned(replace(verdict, valid_until=first + number))
    assert len(mapped.mirror._ends) <= haproxy_map.ENDS_BEYOND + 2
    # The last one still counts.
    made.dirty("anna@corp.example", "annaphone")
    entry.verdict_turned(replace(verdict, valid_until=first + 3 * haproxy_map.ENDS_BEYOND))
    assert mapped.mirror.words == {key_of("anna"): "allow"}
    made.now.ahead += 600.0 + 3 * haproxy_map.ENDS_BEYOND
    await made.cache.load("anna@corp.example")
    mapped.mirror.sweep()
    assert mapped.mirror.words == {key_of("anna"): "deny"}


async def test_a_ban_that_begins_for_many_holds_nobody_up(mapped: Mapped) -> None:
    """They are judged at one moment: some at once, and the others leave the map, so that they are asked about."""
    made, most = mapped.asking, haproxy_map.JUDGED_AT_ONCE
    await made.decision.use(policy(replace(BAN, starts_at=made.now() + 600), number=2))
    users = [f"user{number}" for number in range(3 * most)]
    for user in users:
        made.evidence.put(f"{user}@corp.example", f"{user}phone", TIKTOK)
        await made.cache.load(f"{user}@corp.example")
        request = AccessRequest(f"{user}@corp.example", f"{user}phone")
        verdict = made.decision.judge(request)
        assert verdict is not None
        mapped.mirror.learn(key_of(user), request, verdict)
    assert set(mapped.mirror.words.values()) == {"allow"}
    made.now.ahead += 601
    with capture_logs() as logged:
        mapped.mirror.sweep()
        assert list(mapped.mirror.words.values()) == ["deny"] * most
        # What is written down of it waits, too.
        assert logged == []
        assert await mapped.asked(users[-1]) == "refuse"
