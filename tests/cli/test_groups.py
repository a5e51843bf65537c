"""``gatepost group``."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.cli import groups
from gateway.cli.client import AdminClient
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed, Unclear
from gateway.ports.store import Person
from tests.cli.broken_front import broken_front
from tests.cli.conftest import Gatepost
from tests.support.served_control import Served


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


def test_a_user_by_two_spellings_far_apart_loses_no_group(gatepost: Gatepost, tmp_path: Path) -> None:
    """One below the other they are merged; in two requests the second would take away what the first has given."""
    file, others = tmp_path / "groups.csv", "".join(f"u{number},x\n" for number in range(120))
    file.write_text(f"user,group\nann,board\n{others}CORP\\Ann,sales\n")
    refused = gatepost("group", "import", str(file), "--yes", expect=1)
    assert "ann@corp.example stands in this file by several spellings" in " ".join(refused.stderr.split())
    assert groups_of(gatepost) == {}
    file.write_text(f"user,group\nann,board\nCORP\\Ann,sales\n{others}")
    gatepost("group", "import", str(file), "--yes")
    assert groups_of(gatepost) == {"board": 1, "sales": 1, "x": 120}


@pytest.mark.parametrize(
    "first_and_last",
    [
        ("anna,board,anna.b", "anna.b,sales,"),
        ("anna.b,sales,", "anna,board,CORP\\Anna.B"),
        ("anna,board,anna.b", "berta,sales,anna.b"),
    ],
)
@pytest.mark.parametrize("between", [0, 120])
def test_a_name_of_two_users_of_a_file_is_seen_before_anything_is_imported(
    gatepost: Gatepost, tmp_path: Path, first_and_last: tuple[str, str], between: int
) -> None:
    """A dry run of one piece writes no alias that the next would meet; in earnest the second takes away the groups."""
    (first, last), file = first_and_last, tmp_path / "groups.csv"
    file.write_text(f"user,group,aliases\n{first}\n" + "".join(f"u{n},x,\n" for n in range(between)) + f"{last}\n")
    for words in (("--yes",), ("--dry-run",)):
        refused = " ".join(gatepost("group", "import", str(file), *words, expect=1).stderr.split())
        assert "anna.b@corp.example would be a name of two users" in refused
        assert "Nothing was imported" in refused
    assert groups_of(gatepost) == {}


def test_an_alias_beside_its_user_far_apart_is_seen_where_the_alias_is_known_by_a_report(
    gatepost: Gatepost, tmp_path: Path, api: Served
) -> None:
    named = Person("anna.b@corp.example", origin="agents")
    api.run(api.control.store.write(lambda writing: writing.put_person(named)))
    file, others = tmp_path / "groups.csv", "".join(f"u{number},x,\n" for number in range(120))
    file.write_text(f"user,group,aliases\nanna,board,anna.b\n{others}anna.b,sales,\n")
    assert "would be a name of two users" in gatepost("group", "import", str(file), "--yes", expect=1).stderr
    assert groups_of(gatepost) == {}


def test_an_alias_that_is_known_or_stated_again_is_no_second_user(gatepost: Gatepost, tmp_path: Path) -> None:
    file, others = tmp_path / "groups.csv", "".join(f"u{number},x,\n" for number in range(120))
    file.write_text(f"user,group,aliases\nanna,board,anna.b;CORP\\Anna.B;anna\n{others}")
    gatepost("group", "import", str(file), "--yes")
    file.write_text(f"user,group,aliases\nanna,board,anna.b\nanna.b,sales,\n{others}anna,travel,anna.b\n")
    gatepost("group", "import", str(file), "--yes")
    assert groups_of(gatepost) == {"board": 1, "sales": 1, "travel": 1, "x": 120}


class Breaking:
    """An admin API that takes so many requests, and says how many devices would be cut by each."""

    def __init__(self, takes: int, alias: str = "", then: type[Failed] = Failed) -> None:
        """``alias`` has come to be one of the first user's meanwhile; ``then``: how it fails behind those."""
        self.takes = takes
        self.alias = alias
        self.then = then
        self.imported = 0

    def post(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        if not body["dry_run"]:
            if not self.takes:
                raise self.then("the store is away")
            self.takes -= 1
            self.imported += len(body["rows"])
        rows = body["rows"]
        counted = {"added": len(rows), "changed": 0, "unchanged": 0, "newly_cut": 40, "newly_admitted": 0}
        users = ["u0" if row["user"] == self.alias else row["user"] for row in rows]
        return counted | {"users": users, "aliases": [], "may_cut": 100}


def desk() -> Desk:
    return Desk(None, as_json=True, yes=True)


ROWS = [{"user": f"u{number}", "groups": ["x"]} for number in range(250)]


def test_what_was_imported_before_it_broke_off_is_said() -> None:
    api = Breaking(takes=2)
    with pytest.raises(Failed, match="200 of 250 users were imported, the others not: the store is away"):
        groups._send(desk(), cast("AdminClient", api), ROWS, dry_run=False)
    assert api.imported == 200


@pytest.mark.parametrize(
    ("takes", "words"),
    [
        (
            0,
            "whether the first 100 of 250 users were imported is not known, the others were not; import the file again",
        ),
        (1, "100 of 250 users were imported; whether the next 100 were is not known, the others were not; import"),
        (2, "200 of 250 users were imported; whether the next 50 were is not known; import the file again to be sure"),
    ],
)
def test_a_piece_whose_answer_did_not_come_may_have_been_imported(takes: int, words: str) -> None:
    api = Breaking(takes, then=Unclear)
    with pytest.raises(Unclear, match=words):
        groups._send(desk(), cast("AdminClient", api), ROWS, dry_run=False)


@pytest.mark.parametrize("json_words", [(), ("--json",)])
@pytest.mark.parametrize(("takes", "status"), [(0, 504), (1, 504), (1, 502), (1, 200)])
def test_a_front_proxys_own_answer_says_nothing_about_the_piece(
    gatepost: Gatepost, tmp_path: Path, takes: int, status: int, json_words: tuple[str, ...]
) -> None:
    file = tmp_path / "groups.csv"
    file.write_text("user,group\n" + "".join(f"u{number},x\n" for number in range(250)))
    words = ("group", "import", str(file), "--yes", *json_words)
    with broken_front(takes, status) as front:
        ended = gatepost(*words, environment=front.environment, expect=1)
    assert sum(front.imported) == 100 * (takes + 1), "the piece was imported all the same"
    first = (
        "100 of 250 users were imported; whether the next 100 were" if takes else "whether the first 100 of 250 users"
    )
    assert first in ended.stderr
    assert "is not known, the others were not; import the file again to be sure" in ended.stderr
    assert f"answered {status}, not as a Gatepost does, so it is not known whether this was done" in ended.stderr
    assert ended.stdout == ""


def test_a_front_proxy_that_refuses_has_passed_nothing_on(gatepost: Gatepost, tmp_path: Path) -> None:
    file = tmp_path / "groups.csv"
    file.write_text("user,group\n" + "".join(f"u{number},x\n" for number in range(250)))
    with broken_front(1, 413) as front:
        ended = gatepost("group", "import", str(file), "--yes", environment=front.environment, expect=1)
    assert "100 of 250 users were imported, the others not: " in ended.stderr
    assert ended.stderr.endswith("answered 413, not as a Gatepost does: check the address\n")


@pytest.mark.parametrize(
    ("alias", "words", "imported"),
    [
        ("u150", "200 of 250 users were imported, the others not: u0 stands in this file", 200),
        ("u249", "250 of 250 users were imported: u0 stands in this file", 250),
    ],
)
def test_what_was_imported_before_two_users_became_one_is_said(alias: str, words: str, imported: int) -> None:
    """Nobody could see it before: somebody else gave the alias."""
    api = Breaking(takes=3, alias=alias)
    with pytest.raises(Failed, match=words) as caught:
        groups._send(desk(), cast("AdminClient", api), ROWS, dry_run=False)
    assert "Nothing was imported" not in str(caught.value)
    assert "has only the groups of the last of them now" in str(caught.value)
    assert api.imported == imported


def test_more_than_one_person_may_cut_is_said_before_the_first_piece() -> None:
    counted = groups._send(desk(), cast("AdminClient", Breaking(takes=0)), ROWS, dry_run=True)
    assert (counted.newly_cut, counted.may_cut) == (120, 100)
    with pytest.raises(Failed, match="120 devices would be newly cut, and you alone may cut 100"):
        counted.see_that_it_may_be()


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
