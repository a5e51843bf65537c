"""``gatepost status``."""

import json
import re
from math import inf

import pytest

from gateway.cli.output import print_pairs
from gateway.cli.status import _flat
from tests.cli.conftest import TIKTOK, Gatepost


def test_status(gatepost: Gatepost, ann: None) -> None:
    gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK.id}", "--flag", "enforce", "--yes")
    status = gatepost("status")
    assert re.search(r"pass unjudged +1 \(unmatched 1\)", status.stdout)
    assert "ban TikTok is enforced, yet 1 of 2 devices pass unjudged" in status.stderr
    assert json.loads(gatepost("status", "--json").stdout)["fleet"]["refused"] == 1


def test_a_moment_is_told_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    workers = [{"name": "worker-1", "lists_age_until": 1_700_000_000.0}, {"name": "worker-2", "lists_age_until": inf}]
    print_pairs(_flat("", {"workers": workers}))
    assert re.findall(r"(worker-\d) lists age until +(.*)", capsys.readouterr().out) == [
        ("worker-1", "2023-11-14 22:13:20 UTC"),
        ("worker-2", "inf"),
    ]
