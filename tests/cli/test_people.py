"""``gatepost person``."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.desk import Desk
from tests.cli.broken_front import broken_front
from tests.cli.conftest import Gatepost

FILE = "login,address,language,time_zone,display_name\nann,ann@mail.example,de,Europe/Berlin,Ann\nbob,,,,Bob\n"


def test_people_are_imported_once(gatepost: Gatepost, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(FILE)
    refused = gatepost("person", "import", str(file), expect=1)
    assert "2 new people, 0 changed, 0 as before. Import?" in refused.stderr
    counted = json.loads(gatepost("person", "import", str(file), "--dry-run", "--json").stdout)
    assert counted == {"added": 2, "changed": 0, "unchanged": 0, "dry_run": True}
    assert gatepost("person", "import", str(file), "--yes").stdout.startswith("imported: 2 new people")
    assert "2 as before; nothing was changed" in gatepost("person", "import", str(file)).stdout
    file.write_text("login,language\nCORP\\Ann,es\n")
    assert "0 new people, 1 changed" in gatepost("person", "import", str(file), "--yes").stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user,address\nann,a@b.example\n", "the first line must name the columns login and any of address, language"),
        ("login\nann\n", "the first line must name the columns login and any of"),
        ("login,language\n", "names no login below its first line"),
        ("login,language\n,de\n", "line 2: the login is empty"),
        ("login,language\nann\n", "line 2: it has not as many cells"),
        ("login,time_zone\nann,Mars/Olympus\n", "from line 2 on: "),
    ],
)
def test_a_faulty_file_changes_nothing(gatepost: Gatepost, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(text)
    failed = gatepost("person", "import", str(file), "--yes", expect=1)
    assert words in failed.stderr
    assert str(file) in failed.stderr


@pytest.mark.parametrize(
    ("takes", "status", "words"),
    [
        (
            1,
            504,
            "100 of 250 people were imported; whether the next 100 were is not known, the others were not; import",
        ),
        (0, 504, "whether the first 100 of 250 people were imported is not known, the others were not; import"),
        (1, 413, "100 of 250 people were imported, the others not: "),
    ],
)
def test_what_was_imported_when_it_broke_off(
    gatepost: Gatepost, tmp_path: Path, takes: int, status: int, words: str
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("login,language\n" + "".join(f"u{number},de\n" for number in range(250)))
    with broken_front(takes, status) as front:
        ended = gatepost("person", "import", str(file), "--yes", "--json", environment=front.environment, expect=1)
    assert ended.stderr.startswith(f"gatepost: {words}")
    assert (
        f"{file}, from line {2 + 100 * takes} on: {front.url} answered {status}, not as a Gatepost does" in ended.stderr
    )
    assert ended.stdout == ""


class Moving:
    """An API in which somebody else imports half of the same people between the dry run and the import."""

    def post(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        number = len(body["rows"])
        added = number if body["dry_run"] else number // 2
        return {"added": added, "changed": 0, "unchanged": number - added}


def test_what_is_said_to_be_imported_is_what_was(
    gatepost: Gatepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("login,language\nann,de\nbob,de\n")
    monkeypatch.setattr(Desk, "api", lambda desk: nullcontext(Moving()))
    done = gatepost("person", "import", str(file), "--yes")
    assert done.stdout == "imported: 1 new people, 0 changed, 1 as before\n"
