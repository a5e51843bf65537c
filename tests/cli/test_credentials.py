"""``gatepost credential``."""

import json

import pytest

from tests.cli.conftest import USER, Gatepost


@pytest.mark.usefixtures("ann")
def test_issued_listed_and_revoked(gatepost: Gatepost) -> None:
    made = gatepost("credential", "issue", USER, "abc1")
    login = made.stdout.strip()
    credential_id, _, secret = login.removeprefix(f"{USER}%").partition("-")
    assert (len(credential_id), len(secret)) == (8, 26)
    assert "shown this once" in made.stderr
    assert secret not in made.stderr
    listed = gatepost("credential", "list").stdout
    assert credential_id in listed
    assert "good" in listed
    assert secret not in listed
    shown = gatepost("credential", "list", USER, "--json").stdout
    assert [each["device"] for each in json.loads(shown)["credentials"]] == ["abc1"]
    gatepost("credential", "revoke", credential_id, expect=1)
    gatepost("credential", "revoke", credential_id, "--yes")
    assert "revoked" in gatepost("credential", "list").stdout


@pytest.mark.usefixtures("ann")
def test_for_one_device_and_no_other(gatepost: Gatepost) -> None:
    gatepost("credential", "issue", USER, expect=2)
    gatepost("credential", "issue", USER, "abc1", "--source", "mdm", "--source-device", "x", expect=2)
    gatepost("credential", "issue", USER, "--source", "mdm", expect=2)
    assert "has no device other" in gatepost("credential", "issue", USER, "other", expect=1).stderr
    refused = gatepost("credential", "issue", USER, "--source", "mdm", "--source-device", "x", expect=1)
    assert "source mdm has reported no device x" in refused.stderr
