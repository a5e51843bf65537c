"""``gatepost group``."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Gatepost


def groups_of(gatepost: Gatepost) -> dict[str, int]:
    listed = json.loads(gatepost("group", "list", "--json").stdout)["groups"]
    return {each["group"]: each["members"] for each in listed}


def test_a_line_per_membership_or_per_user(gatepost: Gatepost, tmp_path: Path) -> None:
    assert "no groups yet" in gatepost("group", "list").stdout
    lines, file = "user,group\nann,sales\nbob,sales\nann,board\n", tmp_path / "groups.csv"
    file.write_text("\ufeff" + lines, "utf-8")
    refused = gatepost("group", "import", str(file), expect=1)
    assert "2 new users, 0 in other groups, 0 as before" in refused.stderr
    assert gatepost("group", "import", str(file), "--yes").stdout.startswith("imported: 2 new users")
    assert groups_of(gatepost) == {"sales": 2, "board": 1}
    file.write_text("User;Aliases;Groups\n".replace(";", ",") + "ann,a.smith@corp.example,sales; travel\n", "utf-8")
    gatepost("group", "import", str(file), "--yes")
    assert groups_of(gatepost) == {"sales": 2, "travel": 1}
    again = gatepost("group", "import", str(file))
    assert again.stdout.endswith("0 new users, 0 in other groups, 1 as before; nothing was changed\n")


def test_a_long_file_goes_in_pieces_between_which_reports_have_their_turn(gatepost: Gatepost, tmp_path: Path) -> None:
    file = tmp_path / "groups.csv"
    file.write_text("user,group\n" + "".join(f"u{number},sales\n" for number in range(250)))
    gatepost("group", "import", str(file), "--yes")
    assert groups_of(gatepost) == {"sales": 250}
    entries = [json.loads(line)["entry"] for line in gatepost("audit", "export").stdout.splitlines()]
    added = [each["details"]["added"] for each in entries if each["kind"] == "people_imported"]
    assert added == [100, 100, 50]


def test_a_complete_file_empties_the_groups_of_all_others(gatepost: Gatepost, tmp_path: Path) -> None:
    file = tmp_path / "groups.csv"
    file.write_text("user,group\nann,sales\nbob,sales\n")
    gatepost("group", "import", str(file), "--yes")
    # Another spelling is the same person: CORP\\Ann must not lose what the same file gives ann.
    file.write_text("user,group\nCORP\\Ann,sales\n")
    counted = json.loads(gatepost("group", "import", str(file), "--complete", "--dry-run", "--json").stdout)
    assert counted == {"added": 0, "changed": 1, "unchanged": 1, "newly_cut": 0, "newly_admitted": 0, "dry_run": True}
    gatepost("group", "import", str(file), "--complete", "--yes")
    assert groups_of(gatepost) == {"sales": 1}


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"name,group\nann,sales\n", "the first line must name the columns user and group"),
        (b"user,group,colour\nann,sales,red\n", "the first line must name the columns"),
        (b"user,group\nann\n", "line 2: it has not as many cells"),
        (b"user,group\nann,sales,more\n", "line 2: it has not as many cells"),
        (b"user,group\n,sales\n", "line 2: the user is empty"),
        (b"user,group\n", "names no user"),
        (b"", "the first line must name"),
        (b"user,group\n\xff,sales\n", "no text in UTF-8"),
        (b'user,group\nann,"sales\n', "is no CSV file"),
        (b"user,group\na@b@c,sales\n", "row 1 (a@b@c): the user name is no mail address"),
    ],
)
def test_files_that_are_none(gatepost: Gatepost, tmp_path: Path, octets: bytes, words: str) -> None:
    file = tmp_path / "groups.csv"
    file.write_bytes(octets)
    assert words in gatepost("group", "import", str(file), "--yes", expect=1).stderr


def test_a_file_that_is_not_there(gatepost: Gatepost, tmp_path: Path) -> None:
    missing = tmp_path / "none.csv"
    assert "cannot be read (No such file" in gatepost("group", "import", str(missing), expect=1).stderr
