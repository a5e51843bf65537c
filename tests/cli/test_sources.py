"""``gatepost source``."""

import json

from tests.cli.conftest import Gatepost


def test_sources(gatepost: Gatepost) -> None:
    added = gatepost("source", "add", "agents", "--kind", "push", "--devices", "*", "--max-age", "12h")
    assert added.stdout.startswith("whsec_")
    assert "shown this once" in added.stderr
    assert "12 h" in gatepost("source", "list").stdout
    assert json.loads(gatepost("source", "rotate", "agents", "--json").stdout)["secret"].startswith("whsec_")
    gatepost("source", "rotate", "agents", "--finish", expect=1)
    assert "accepts 1 secret now" in gatepost("source", "rotate", "agents", "--finish", "--yes").stderr
    gatepost("source", "remove", "agents", "--yes")
    assert "no sources yet" in gatepost("source", "list").stdout
    assert gatepost("source", "add", "agents", "--max-age", "long", expect=2)
