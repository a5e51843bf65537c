"""``gatepost token``."""

import json

from tests.cli.conftest import Gatepost


def test_tokens(gatepost: Gatepost) -> None:
    made = gatepost("token", "create", "bob", "--role", "viewer", "--for", "8h")
    token = made.stdout.strip()
    assert token.startswith("gpt_")
    assert "shown this once" in made.stderr
    as_bob = {"GATEPOST_TOKEN": token}
    gatepost("ban", "list", environment=as_bob)
    refused = gatepost("flag", "set", "--global", "off", environment=as_bob, expect=1)
    assert refused.stderr == "gatepost: bob may not turn down: this needs the role operator, editor or approver\n"
    listed = gatepost("token", "list").stdout
    assert "expires" in listed
    assert token not in listed
    (bob,) = [
        each for each in json.loads(gatepost("token", "list", "--json").stdout)["tokens"] if each["operator"] == "bob"
    ]
    gatepost("token", "revoke", bob["id"], expect=1)
    gatepost("token", "revoke", bob["id"], "--yes")
    assert "revoked" in gatepost("token", "list").stdout
    assert "not known" in gatepost("ban", "list", environment=as_bob, expect=1).stderr
