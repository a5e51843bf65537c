"""Who is ended for its silence, and who is not, round by round."""

import signal
from typing import cast

import pytest

from gateway.runtime.child import Child, ChildSpec
from gateway.runtime.hanging import HANGS_AFTER_SECONDS, STARTS_WITHIN_SECONDS, TELL_WHERE, end_the_hanging
from gateway.runtime.kept import Kept

ROUND = 2.0
SILENT_MOST = int(HANGS_AFTER_SECONDS / ROUND)


class Signalled:
    """A child that only hears signals."""

    pid = 4711
    ready = True

    def __init__(self) -> None:
        self.heard: list[int] = []

    def signal(self, number: int) -> None:
        self.heard.append(number)


def kept_one(*, told_of_workers: bool = False) -> tuple[Kept, Signalled]:
    kept, child = Kept(ChildSpec("worker-1", ("true",), told_of_workers=told_of_workers)), Signalled()
    kept.child = cast("Child", child)
    return kept, child


def rounds(kept: Kept, count: int) -> None:
    for _ in range(count):
        end_the_hanging([kept], ROUND)


def test_it_is_asked_where_it_is_a_round_before_it_is_killed() -> None:
    kept, child = kept_one()
    rounds(kept, SILENT_MOST - 1)
    assert child.heard == []
    rounds(kept, 1)
    assert child.heard == [TELL_WHERE]
    rounds(kept, 1)
    assert child.heard == [TELL_WHERE, signal.SIGKILL]


def test_one_word_in_time_and_it_has_all_its_time_again() -> None:
    """Also after it was asked where it is: whoever was only slow goes on."""
    kept, child = kept_one()
    rounds(kept, SILENT_MOST)
    kept.silent_rounds = 0
    rounds(kept, SILENT_MOST - 1)
    assert child.heard == [TELL_WHERE]


def test_one_that_starts_has_longer_but_not_for_ever() -> None:
    kept, child = kept_one()
    child.ready = False
    rounds(kept, int(STARTS_WITHIN_SECONDS / ROUND) - 1)
    assert child.heard == []
    rounds(kept, 2)
    assert child.heard == [TELL_WHERE, signal.SIGKILL]


@pytest.mark.parametrize("who", ["is on trial", "was told to end", "watches the workers"])
def test_others_may_be_silent(who: str) -> None:
    kept, child = kept_one(told_of_workers=who == "watches the workers")
    if who == "is on trial":
        kept.trial, child.ready = True, False
    kept.retired = who == "was told to end"
    rounds(kept, int(2 * STARTS_WITHIN_SECONDS / ROUND))
    assert child.heard == []
