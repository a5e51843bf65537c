"""``gatepost person``."""

import json
from pathlib import Path

import pytest

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
