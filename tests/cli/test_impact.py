"""``gatepost impact verify`` says whether previews can be believed."""

from typing import Any

import pytest

from gateway.changes.impact.verifying import Difference, Verified
from gateway.domain.access import Protocol
from tests.cli.conftest import USER, Gatepost
from tests.support.control import Control


@pytest.mark.usefixtures("ann")
def test_an_index_that_is_right(gatepost: Gatepost) -> None:
    told = gatepost("impact", "verify", "--sample", "10").stdout
    assert told.endswith("decisions about 1 people: 0 differ\n")


@pytest.fixture
def differing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wrong(control: Control, *asked: Any) -> Verified:
        return Verified(1, 8, 2, (Difference(USER, "abc1", Protocol.IMAP, True, False),), 1)

    monkeypatch.setattr(Control, "verify", wrong)


def test_one_that_is_not(differing: None, gatepost: Gatepost) -> None:
    told = gatepost("impact", "verify", expect=1)
    assert "8 decisions about 1 people: 1 differ; 2 people changed meanwhile and were left out" in told.stdout
    assert "ann@corp.example  abc1    imap      yes            no" in told.stdout
    assert "the index of the fleet is wrong" in told.stderr
