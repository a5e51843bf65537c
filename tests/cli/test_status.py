"""``gatepost status``."""

import json
import re

from tests.cli.conftest import TIKTOK, Gatepost


def test_status(gatepost: Gatepost, ann: None) -> None:
    gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK.id}", "--flag", "enforce", "--yes")
    status = gatepost("status")
    assert re.search(r"pass unjudged +1 \(unmatched 1\)", status.stdout)
    assert "ban TikTok is enforced, yet 1 of 2 devices pass unjudged" in status.stderr
    assert json.loads(gatepost("status", "--json").stdout)["fleet"]["refused"] == 1
