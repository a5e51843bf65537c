"""Who was let in by another worker, or before our time, is found in the asker's own list of sessions, and cut."""

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from gateway.authz import cutter as cutter_module
from gateway.authz import following as following_module
from gateway.authz.cutter import Cutter
from gateway.authz.following import Cut, Following
from gateway.authz.inquiry import Whereabouts
from gateway.authz.let_in import LetIn
from gateway.decision import decision_point
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.protocols.authz.doveadm import Connected
from tests.support.cutting import Cutting
from tests.support.fake_means import FakeDoveadm
from tests.support.fronted import settled, until

REMEMBERED_SECONDS = 5_000.0

BERTS_TABLET = AccessRequest("bert@corp.example", "berttablet", Protocol.IMAP, IdentityStrength.DEVICE_CREDENTIAL)


@pytest.fixture
async def looking(cutting: Cutting, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[FakeDoveadm, Cut]]:
    """A worker that looks at Dovecot's list all the time."""
    monkeypatch.setattr(following_module, "LOOK_SECONDS", 0.0)
    made, means = cutting.asking, FakeDoveadm()
    cutter = Cutter(means, RefusalLog(RefusalPace()), made.metrics, made.decision.judge, monotonic=cutting.clock)
    let_in = LetIn(made.decision, cutter, remembered_seconds=REMEMBERED_SECONDS, monotonic=cutting.clock)
    cut = Cut(frozenset({"dovecot"}), cutter, let_in)
    following = Following(made.decision, made.rules, [cut])
    await following.start()
    yield means, cut
    await following.close()


async def looked(means: FakeDoveadm, times: int = 20) -> None:
    """Until the list has been read so often."""
    until_then = means.looks + times
    await until(lambda: means.looks >= until_then)


async def test_who_is_found_in_the_list_is_ended_once(cutting: Cutting, looking: tuple[FakeDoveadm, Cut]) -> None:
    """Who is there again has logged in since: by a device that may, and the worker that was asked follows it."""
    means, _ = looking
    means.there = (Connected("bert", "imap"),)
    await until(lambda: means.cuts == ["bert"])
    await looked(means)
    means.there = ()
    await looked(means)
    means.there = (Connected("bert", "imap"),)
    await looked(means)
    # Nor as one that may still have been on its way when it was ended.
    cutting.clock.ahead += cutter_module.YOUNG_SECONDS + 1
    means.there = (Connected("bert", "imap"), Connected("cora", "imap"))
    cutting.asking.dirty("cora@corp.example", "coraphone")
    await until(lambda: "cora" in means.cuts)
    await looked(means)
    assert means.cuts == ["bert", "cora"]
    cutting.asking.clean("bert@corp.example", "bertphone")
    await looked(means)
    cutting.asking.dirty("bert@corp.example", "bertphone")
    await until(lambda: means.cuts[2:] == ["bert"])


async def test_who_is_found_in_the_list_is_ended_again_after_an_hour(
    cutting: Cutting, looking: tuple[FakeDoveadm, Cut]
) -> None:
    """The worker that had let him in again, and followed him, may have been restarted since."""
    means, _ = looking
    means.there = (Connected("bert", "imap"),)
    await until(lambda: means.cuts == ["bert"])
    cutting.clock.ahead += following_module.ENDED_SECONDS - 1
    await looked(means)
    assert means.cuts == ["bert"]
    cutting.clock.ahead += 2
    await until(lambda: means.cuts == ["bert", "bert"])


async def test_who_stays_in_the_list_is_never_forgotten(cutting: Cutting, looking: tuple[FakeDoveadm, Cut]) -> None:
    """However long it is connected; by a device of a user whose other one had been ended."""
    means, cut = looking
    means.there = (Connected("bert", "imap"),)
    await until(lambda: means.cuts == ["bert"])
    cutting.asking.clean("bert@corp.example", "berttablet")
    cut.note("dovecot", BERTS_TABLET, Whereabouts(user="bert"))
    for _ in range(3):
        cutting.clock.ahead += REMEMBERED_SECONDS - 1
        await looked(means)
        cut.let_in.sweep()
    assert cut.let_in.is_there("imap bert")
    cutting.asking.dirty("bert@corp.example", "berttablet")
    await until(lambda: means.cuts == ["bert", "bert"])


async def test_who_is_found_beside_a_device_of_his_that_has_a_credential_is_followed(
    cutting: Cutting, looking: tuple[FakeDoveadm, Cut]
) -> None:
    """By the worker that was asked about that device only; the one that was asked about the other was restarted."""
    means, cut = looking
    cutting.asking.clean("bert@corp.example", "bertphone")
    cutting.asking.clean("bert@corp.example", "berttablet")
    await cutting.asking.cache.load("bert@corp.example")
    cut.note("dovecot", BERTS_TABLET, Whereabouts(user="bert"))
    cutting.clock.ahead += cutter_module.YOUNG_SECONDS + 1
    means.there = (Connected("bert", "imap"),)
    await looked(means)
    assert means.cuts == []
    cutting.asking.dirty("bert@corp.example", "bertphone")
    await until(lambda: means.cuts == ["bert"])
    # The tablet is there again, and stays.
    cut.note("dovecot", BERTS_TABLET, Whereabouts(user="bert"))
    cutting.clock.ahead += following_module.ENDED_SECONDS + 1
    await looked(means)
    assert means.cuts == ["bert"]


async def test_who_has_a_device_that_may_is_not_cut_for_another_one_once_the_state_is_known_again(
    cutting: Cutting, looking: tuple[FakeDoveadm, Cut], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has turned; while nothing could be known nobody is taken for one who may have mail by it."""
    means, cut = looking
    cutting.asking.clean("bert@corp.example", "berttablet")
    cutting.asking.dirty("bert@corp.example", "bertphone")
    await cutting.asking.cache.load("bert@corp.example")
    cut.note("dovecot", BERTS_TABLET, Whereabouts(user="bert"))
    means.there = (Connected("bert", "imap"),)
    await looked(means)
    monkeypatch.setattr(decision_point, "TRUSTED_WITHIN_SECONDS", 0.0)
    cutting.asking.decision.trusted_until = 0.0
    await looked(means)
    cutting.asking.decision.trust(math.inf)
    cutting.clock.ahead += 61
    cut.let_in.sweep()
    await looked(means)
    assert means.cuts == []


async def test_who_turned_back_before_he_was_ended_is_found_again(
    cutting: Cutting, looking: tuple[FakeDoveadm, Cut], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And turned once more before the next look, while nobody could be ended."""
    monkeypatch.setattr(cutter_module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 0.0)
    means, cut = looking
    means.failures = 1_000_000
    means.there = (Connected("bert", "imap"),)
    await until(lambda: means.failures < 1_000_000)
    means.hidden = asyncio.Event()
    await settled()
    cutting.asking.clean("bert@corp.example", "bertphone")
    await cutting.asking.cache.load("bert@corp.example")
    await until(lambda: cut.cutter.waiting == 0)
    await settled()
    cutting.asking.dirty("bert@corp.example", "bertphone")
    means.failures = 0
    means.hidden.set()
    await until(lambda: means.cuts == ["bert"])


async def test_who_is_found_in_the_list_and_given_up_is_found_again(
    cutting: Cutting, looking: tuple[FakeDoveadm, Cut], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutter_module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 0.0)
    means, _ = looking
    means.failures = 1_000_000
    means.there = (Connected("bert", "imap"),)
    await until(lambda: means.failures < 1_000_000)
    cutting.clock.ahead += cutter_module.GIVE_UP_SECONDS + 1
    await until(lambda: cutting.counted("given_up") == 1)
    means.failures = 0
    await until(lambda: means.cuts == ["bert"])
