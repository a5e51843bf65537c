"""Who is ended for its silence, and who is not, round by round."""

import signal
from typing import cast

import pytest

from gateway.runtime.child import Child, ChildSpec
from gateway.runtime.hanging import HANGS_AFTER_SECONDS, TELL_WHERE, end_the_hanging
from gateway.runtime.kept import Kept

ROUND = 2.0
SILENT_MOST = int(HANGS_AFTER_SECONDS / ROUND)


class Signalled:
    """A child that only hears signals."""

    pid = 4711

    def __init__(self) -> None:
        self.heard: list[int] = []

    def signal(self, number: int) -> None:
        self.heard.append(number)


def kept_one(*, told_of_workers: bool = False) -> tuple[Kept, Signalled]:
    kept, child = Kept(ChildSpec("worker-1", ("true",), told_of_workers=told_of_workers)), Signalled()
    kept.child = cast("Child", child)
    kept.silent_rounds = 0
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


@pytest.mark.parametrize("who", ["has told nothing yet", "was told to end", "watches the workers"])
def test_others_may_be_silent(who: str) -> None:
    kept, child = kept_one(told_of_workers=who == "watches the workers")
    if who == "has told nothing yet":
        kept.silent_rounds = None
    kept.retired = who == "was told to end"
    rounds(kept, 2 * SILENT_MOST)
    assert child.heard == []
