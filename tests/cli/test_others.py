"""``gatepost exempt``, ``token``, ``policy``, ``source``, ``device``, ``status`` and ``why``."""

import json
import re
import time

import pytest

from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import App, Naming, Platform, Scope
from gateway.ports.store import MailDevice, Writing
from tests.cli.conftest import Gatepost
from tests.support.served_control import Served

USER = "ann@corp.example"
TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok\x1b[31m", "30.1")


@pytest.fixture
def ann(api: Served) -> None:
    async def work(writing: Writing) -> None:
        for device_id in ("abc1", "abc2"):
            await writing.put_mail_device(
                MailDevice(USER, device_id, 1.0, 2.0, "Android", device_information='{"a": "b"}')
            )

    at = time.time() - 3700
    source = SourceEvidence("mdm", "s1", Scope.DEVICE, Naming.IDENTIFIER, at, 86_400.0, (TIKTOK,), full_at=at)
    device = DeviceEvidence("abc1", BindingState.BOUND, (source,), platform=Platform.ANDROID)
    unbound = DeviceEvidence("", BindingState.BOUND, (source,))
    api.control.records[USER] = PersonRecord(USER, True, (USER,), frozenset({"sales"}), {"abc1": device}, (unbound,))
    api.run(api.control.store.write(work))


def test_exemptions(gatepost: Gatepost) -> None:
    gatepost("exempt", "add", "--user", "ann", "--device", "ABC1", "--for", "2d", "--reason", "on the road")
    (exemption,) = json.loads(gatepost("exempt", "list", "--json").stdout)["exemptions"]
    assert (exemption["user"], exemption["device"], exemption["in_force"]) == (USER, "abc1", True)
    assert "on the road" in gatepost("exempt", "list").stdout
    gatepost("exempt", "remove", exemption["id"], expect=1)
    gatepost("exempt", "remove", exemption["id"], "--yes")
    assert gatepost("exempt", "list").stdout == "no exemptions\n"
    until = ("--until", time.strftime("%Y-%m-%d", time.gmtime(time.time() + 5 * 86400)))
    gatepost("exempt", "add", "--group", "board", *until, "--reason", "x", expect=1)
    gatepost("exempt", "add", "--group", "board", *until, "--reason", "x", "--yes")
    assert "group board" in gatepost("exempt", "list").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--for", "2d", "--reason", "x"),
        ("--user", "a", "--group", "b", "--for", "2d", "--reason", "x"),
        ("--user", "a", "--reason", "x"),
        ("--user", "a", "--for", "2d", "--until", "2026-01-31", "--reason", "x"),
        ("--user", "a", "--for", "2d"),
        ("--user", "a", "--for", "two days", "--reason", "x"),
    ],
)
def test_wrong_exemptions(gatepost: Gatepost, words: tuple[str, ...]) -> None:
    gatepost("exempt", "add", *words, expect=2)


def test_tokens(gatepost: Gatepost) -> None:
    made = gatepost("token", "create", "bob", "--role", "viewer", "--for", "8h")
    token = made.stdout.strip()
    assert token.startswith("gpt_")
    assert "shown this once" in made.stderr
    as_bob = {"GATEPOST_TOKEN": token}
    gatepost("ban", "list", environment=as_bob)
    refused = gatepost("flag", "set", "--global", "off", environment=as_bob, expect=1)
    assert refused.stderr == "gatepost: bob may look but not change: this needs the role editor\n"
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


def test_policies(gatepost: Gatepost) -> None:
    gatepost("flag", "set", "--global", "off", "--note", "fire drill")
    assert "enforcement switched off globally (fire drill)" in gatepost("policy", "list").stdout
    assert "enforcement off, 0 exemptions" in gatepost("policy", "show", "2").stdout
    assert gatepost("policy", "show", "9", expect=1).stderr == "gatepost: there is no policy version 9\n"


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


def test_devices(gatepost: Gatepost, ann: None, api: Served) -> None:
    assert [line.split()[1] for line in gatepost("device", "list").stdout.splitlines()[1:]] == ["abc1", "abc2"]
    some = gatepost("device", "list", "--limit", "1")
    assert "more than 1" in some.stderr
    assert json.loads(gatepost("device", "list", "--limit", "1", "--json").stdout)["complete"] is False
    of_ann = gatepost("device", "list", "ann").stdout
    assert "mdm s1" in of_ann
    assert "without a mail device" in of_ann
    shown = gatepost("device", "show", "ann", "ABC1").stdout
    assert "says a" in shown
    assert "1 apps, scope device" in shown
    gatepost("device", "forget", "ann", "abc1", expect=1)
    assert gatepost("device", "forget", "ann", "abc1", "--yes").stdout == f"device abc1 of {USER} is forgotten\n"
    assert api.control.forgotten == [(USER, "abc1")]


def test_why(gatepost: Gatepost, ann: None) -> None:
    gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK.id}", "--flag", "enforce", "--yes")
    told = gatepost("why", "ann", "ABC1").stdout
    assert told.startswith("Refused: TikTok")
    for words in ("banned_app", "1 h 1 min ago", "anna, version 2", "next change", "mdm reports device abc1 again"):
        assert words in told
    # What a phone or a source wrote does not steer the operator's terminal.
    assert "\x1b" not in told
    everything = gatepost("why", "ann").stdout
    assert everything.startswith("Refused: TikTok")
    nobody = gatepost("why", "bob").stdout
    assert "not known from any import or report" in nobody
    assert json.loads(gatepost("why", "ann", "abc1", "--json").stdout)["answers"][0]["effect"] == "deny"
    assert gatepost("why", "a@b@c", expect=1).stderr == "gatepost: the user name is no mail address\n"


def test_status(gatepost: Gatepost, ann: None) -> None:
    gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK.id}", "--flag", "enforce", "--yes")
    status = gatepost("status")
    assert re.search(r"pass unjudged +1 \(unmatched 1\)", status.stdout)
    assert "ban TikTok is enforced, yet 1 of 2 devices pass unjudged" in status.stderr
    assert json.loads(gatepost("status", "--json").stdout)["fleet"]["refused"] == 1
