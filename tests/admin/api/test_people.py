"""People and groups by API."""

import httpx
import pytest

from gateway.ports.store import ChangeKind
from tests.support.control import Control


async def imported(api: httpx.AsyncClient, *rows: dict[str, object], dry_run: bool = False) -> dict[str, object]:
    answer = await api.post("/people/import", json={"rows": rows, "dry_run": dry_run})
    assert answer.status_code == 200, answer.text
    result: dict[str, object] = answer.json()
    return result


async def test_an_import_makes_people_and_sets_their_groups(api: httpx.AsyncClient, control: Control) -> None:
    rows: list[dict[str, object]] = [
        {"user": "CORP\\Ann", "groups": ["sales"]},
        {"user": "bob", "groups": ["sales", "board"]},
    ]
    assert await imported(api, *rows) == {
        "added": 2,
        "changed": 0,
        "unchanged": 0,
        "newly_cut": 0,
        "newly_admitted": 0,
        "users": ["ann@corp.example", "bob@corp.example"],
        "aliases": [],
        "may_cut": None,
        "dry_run": False,
    }
    told = [change for change in control.published if change.kind is ChangeKind.PERSON]
    assert {name for change in told for name in change.names} == {"ann@corp.example", "bob@corp.example"}
    listed = (await api.get("/people")).json()["people"]
    assert listed[0] == {"user": "ann@corp.example", "aliases": [], "groups": ["sales"], "origin": "import"}
    groups = (await api.get("/groups")).json()
    assert groups == {
        "groups": [{"group": "board", "members": 1}, {"group": "sales", "members": 2}],
        "people": 2,
    }


async def test_groups_become_those_of_the_row_and_nobody_unchanged_is_announced(
    api: httpx.AsyncClient, control: Control
) -> None:
    await imported(api, {"user": "ann", "groups": ["sales"]}, {"user": "bob", "groups": ["sales"]})
    control.published.clear()
    again = await imported(api, {"user": "ann", "groups": ["board"]}, {"user": "bob", "groups": ["sales"]})
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 1, 1)
    assert [change.names for change in control.published] == [("ann@corp.example",)]
    assert (await api.get("/people")).json()["people"][0]["groups"] == ["board"]


async def test_a_dry_run_changes_nothing(api: httpx.AsyncClient, control: Control) -> None:
    counted = await imported(api, {"user": "ann", "groups": ["sales"]}, dry_run=True)
    assert counted["added"] == 1
    assert (await api.get("/people")).json()["people"] == []


async def test_aliases_are_one_person_and_stay_where_the_row_says_nothing(api: httpx.AsyncClient) -> None:
    await imported(api, {"user": "ann", "groups": ["sales"], "aliases": ["a.smith@corp.example"]})
    by_alias = await imported(api, {"user": "a.smith@corp.example", "groups": ["board"]})
    assert by_alias["users"] == ["ann@corp.example"]
    (ann,) = (await api.get("/people")).json()["people"]
    assert ann == {
        "user": "ann@corp.example",
        "aliases": ["a.smith@corp.example"],
        "groups": ["board"],
        "origin": "import",
    }


async def test_an_import_tells_all_names_of_those_it_names_also_where_it_only_counts(api: httpx.AsyncClient) -> None:
    """Whoever sends a file in pieces sees by them whom two of its lines mean: a dry run of one knows no other."""
    rows: list[dict[str, object]] = [
        {"user": "ann", "groups": ["sales"], "aliases": ["CORP\\A.Smith", "ann"]},
        {"user": "bob", "groups": ["sales"]},
    ]
    for dry_run in (True, False, True):
        assert (await imported(api, *rows, dry_run=dry_run))["aliases"] == ["a.smith@corp.example"]
    # Those that the row does not state stay, and those that it leaves out go.
    assert (await imported(api, {"user": "ann"}, dry_run=True))["aliases"] == ["a.smith@corp.example"]
    assert (await imported(api, {"user": "ann", "aliases": []}, dry_run=True))["aliases"] == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"user": "a@b@c"}, "row 2 (a@b@c): the user name is no mail address"),
        ({"user": "ok", "groups": [" "]}, "row 2 (ok): a group's name has 1 to 200 printable characters"),
        ({"user": "ok", "groups": ["a\nb"]}, "row 2 (ok): a group's name"),
        ({"user": "ok", "aliases": [""]}, "row 2 (ok): the user name is empty"),
    ],
)
async def test_a_wrong_row_is_named_and_nothing_is_applied(
    api: httpx.AsyncClient, row: dict[str, object], words: str
) -> None:
    answer = await api.post("/people/import", json={"rows": [{"user": "ann", "groups": ["g"]}, row]})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert (await api.get("/people")).json()["people"] == []


async def test_a_login_belongs_to_one_person(api: httpx.AsyncClient) -> None:
    await imported(api, {"user": "ann", "groups": []}, {"user": "bob", "groups": []})
    answer = await api.post("/people/import", json={"rows": [{"user": "ann", "groups": [], "aliases": ["bob"]}]})
    assert answer.status_code == 409
