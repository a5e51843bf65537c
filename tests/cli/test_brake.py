"""``gatepost brake``: what is held is shown, and letting go asks first."""

import time

import pytest

from gateway.domain.brake import Brake, Hold, Trouble
from tests.cli.conftest import Gatepost
from tests.support.served_control import Served


@pytest.fixture
def held(api: Served) -> None:
    now = time.time()
    holds = (
        Hold("agents", Trouble.STALE, now - 3700, 12_000),
        Hold("intune", Trouble.HITS, now - 60, 40, "TikTok", holding=False),
    )
    api.run(api.control.store.write(lambda writing: writing.put_brake(Brake(now + 600, holds))))


def test_nothing_is_held(gatepost: Gatepost) -> None:
    assert gatepost("brake", "status").stdout == "nothing is held\n"


@pytest.mark.usefixtures("held")
def test_what_is_held(gatepost: Gatepost) -> None:
    lines = gatepost("brake", "status").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["source", "trouble"], ["agents", "stale"], ["intune", "hits"]]
    assert "alarm only" in lines[2]


@pytest.mark.usefixtures("held")
def test_letting_go_asks_and_says_how_many(gatepost: Gatepost) -> None:
    asked = gatepost("brake", "release", "agents", expect=1)
    assert "Let go of 12000 devices that have mail although the lists of source agents are too old?" in asked.stderr
    done = gatepost("brake", "release", "agents", "--yes")
    assert "let go of 12000 devices that have mail although" in done.stdout
    assert "the workers follow within 2 s" in done.stdout
    assert "let go: source agents, stale, by anna" in gatepost("brake", "status").stdout
    again = gatepost("brake", "release", "agents", "--yes", expect=1)
    assert "nothing is held of source agents for stale" in again.stderr


@pytest.mark.usefixtures("held")
def test_confirming(gatepost: Gatepost) -> None:
    said = gatepost("brake", "confirm", "agents", "--for", "12h").stdout
    assert said.startswith("held on: 12000 devices that have mail although")
    assert "anna" in gatepost("brake", "status").stdout.splitlines()[1]


def test_nobody_looks_ahead(gatepost: Gatepost, api: Served) -> None:
    api.run(api.control.store.write(lambda writing: writing.put_brake(Brake(time.time() - 60))))
    assert "nobody has looked ahead lately" in gatepost("brake", "status").stderr
