"""``gatepost source``."""

import json

from tests.cli.conftest import Gatepost


def test_sources(gatepost: Gatepost) -> None:
    added = gatepost("source", "add", "agents", "--kind", "push", "--devices", "*", "--max-age", "12h")
    assert added.stdout.startswith("whsec_")
    assert "shown this once" in added.stderr
    # Without --user it may speak for every user's phone, which --devices does not prevent.
    assert "warning" in added.stderr
    assert "--user" in added.stderr
    assert "12 h" in gatepost("source", "list").stdout
    assert json.loads(gatepost("source", "rotate", "agents", "--json").stdout)["secret"].startswith("whsec_")
    gatepost("source", "rotate", "agents", "--finish", expect=1)
    assert "accepts 1 secret now" in gatepost("source", "rotate", "agents", "--finish", "--yes").stderr
    gatepost("source", "remove", "agents", "--yes")
    assert "no sources yet" in gatepost("source", "list").stdout
    assert gatepost("source", "add", "agents", "--max-age", "long", expect=2)


def test_a_source_that_may_name_some_users_only_is_no_matter_for_a_warning(gatepost: Gatepost) -> None:
    added = gatepost("source", "add", "kiosk", "--devices", "kiosk-*", "--user", "*@corp.example")
    assert "warning" not in added.stderr
    listed = gatepost("source", "list").stdout
    assert "*@corp.example" in listed
    gatepost("source", "add", "agents")
    said = gatepost("source", "remove", "kiosk", "--with-evidence", "--yes").stdout
    assert said == "source kiosk is removed, with all it has said\n"
    assert "another name" in gatepost("source", "add", "kiosk", expect=1).stderr
    assert "any" in gatepost("source", "list").stdout.splitlines()[1]
