"""``gatepost ban presets`` and ``import-preset``."""

import json
from contextlib import nullcontext
from typing import Any

import pytest

from gateway.cli import presets
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed, Unclear
from tests.cli.conftest import Gatepost

INDIA = "india-2020-06-29"


def test_lists_and_one_list(gatepost: Gatepost) -> None:
    line = next(each for each in gatepost("ban", "presets").stdout.splitlines() if each.startswith(INDIA))
    assert line.split()[1:5] == ["59", "44", "11", "15"]
    shown = gatepost("ban", "presets", "--show", INDIA).stdout
    assert "of 59 apps 44 are recognised on Android, 11 on iOS, 15 not at all" in shown
    assert "source: Government of India" in shown
    assert "using it would block every such phone" in shown
    assert "there is no preset" in gatepost("ban", "presets", "--show", "x", expect=1).stderr


def test_an_import_shows_what_it_would_do_and_does_nothing(gatepost: Gatepost, ann: None) -> None:
    done = gatepost("ban", "import-preset", INDIA, "--flag", "enforce").stdout
    assert done.startswith(f"{INDIA}: of 59 apps 44 are recognised on Android, 11 on iOS, 15 not at all\n")
    assert "not recognised and not banned; the ids are unconfirmed" in done
    assert "android:com.tencent.research.drop" in done
    assert "change 1 by anna: 44 bans of the 59 apps of preset" in done
    assert "newly cut       1 device of 1 person" in done
    assert done.endswith("nothing is in force yet; now: gatepost apply 1\n")
    assert gatepost("ban", "list").stdout.startswith("no bans yet")


def test_what_is_banned_already_is_named(gatepost: Gatepost) -> None:
    gatepost(
        "ban",
        "add",
        "Clips",
        "--id",
        "android:com.zhiliaoapp.musically",
        "--id",
        "ios:com.zhiliaoapp.musically",
        "--yes",
    )
    done = gatepost("ban", "import-preset", "amazon-2020-07-10").stdout
    assert "TikTok falls under ban Clips already (report-only): left as it is" in done
    assert "nothing to change" in done
    assert json.loads(gatepost("change", "list", "--json").stdout)["changes"][0]["number"] == 1


@pytest.mark.parametrize("kind", [Failed, Unclear])
def test_a_change_whose_application_failed_is_named(monkeypatch: pytest.MonkeyPatch, kind: type[Failed]) -> None:
    class Away:
        def post(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
            raise kind("Gatepost did not answer")

    monkeypatch.setattr(Desk, "api", lambda desk: nullcontext(Away()))
    with pytest.raises(kind, match="did not answer; where change 7 stands: gatepost change show 7") as end:
        presets._applied_if_so(Desk(None, as_json=True, yes=True), {"change": 7, "refusal": ""})
    assert type(end.value) is kind
