"""Exemptions by API."""

from typing import Any

import httpx
import pytest

from gateway.changes.applying import Rules
from gateway.domain.operator import Role
from tests.support.control import Control

ANN = {"user": "CORP\\Ann", "reason": "on the road", "ends_at": "2023-11-16T00:00:00Z"}


async def test_an_exemption_is_added_listed_and_removed(api: httpx.AsyncClient) -> None:
    added = await api.post("/exemptions", json={**ANN, "device": "ABC1"})
    assert added.status_code == 201
    exemption_id = added.json()["id"]
    (listed,) = (await api.get("/exemptions")).json()["exemptions"]
    assert listed == {
        "id": exemption_id,
        "user": "ann@corp.example",
        "device": "abc1",
        "group": "",
        "reason": "on the road",
        "author": "anna",
        "starts_at": "2023-11-14T22:13:20Z",
        "ends_at": "2023-11-16T00:00:00Z",
        "in_force": True,
    }
    assert (await api.delete(f"/exemptions/{exemption_id}")).json()["policy_version"] == 3
    assert (await api.get("/exemptions")).json()["exemptions"] == []
    assert (await api.delete(f"/exemptions/{exemption_id}")).status_code == 404


async def test_one_for_a_group_that_begins_later(api: httpx.AsyncClient, control: Control) -> None:
    control.rules = Rules(second_person=False)
    body = {"group": "board", "reason": "x", "starts_at": "2023-11-15T00:00:00Z", "ends_at": "2023-11-16T00:00:00Z"}
    assert (await api.post("/exemptions", json=body)).status_code == 201
    assert (await api.get("/exemptions")).json()["exemptions"][0]["in_force"] is False
    control.now += 86_400
    assert (await api.get("/exemptions")).json()["exemptions"][0]["in_force"] is True


async def test_names_that_nobody_has_are_warned_about(api: httpx.AsyncClient, control: Control) -> None:
    control.rules = Rules(second_person=False)
    user = (await api.post("/exemptions", json=ANN)).json()
    assert user["warnings"] == ["no user ann@corp.example is known from any import or report"]
    group = (await api.post("/exemptions", json={**ANN, "user": "", "group": "board"})).json()
    assert group["warnings"] == ["nobody known is in group board"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"user": ""}, "for a user"),
        ({"group": "board"}, "or for a group"),
        ({"user": "", "group": "g", "device": "abc1"}, "names its user"),
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"ends_at": "2023-11-01T00:00:00Z"}, "ended already"),
        ({"ends_at": "2026-11-01T00:00:00Z"}, "366 days"),
        ({"ends_at": "tomorrow"}, "ends_at"),
        ({"user": "a@b@c"}, "no mail address"),
        ({"device": "a b"}, "letters and digits"),
    ],
)
async def test_what_is_no_exemption(api: httpx.AsyncClient, change: dict[str, Any], words: str) -> None:
    refused = await api.post("/exemptions", json={**ANN, **change})
    assert refused.status_code == 422
    assert words in refused.json()["detail"]


async def test_a_whole_group_needs_a_second_person(api: httpx.AsyncClient, control: Control) -> None:
    answer = await api.post("/exemptions", json={**ANN, "user": "", "group": "board"})
    told = answer.json()
    assert (answer.status_code, told["type"], told["change"]) == (409, "urn:gatepost:problem:needs_approval", 1)
    assert told["guards"] == [{"guard": "exempts_group", "detail": "the whole group board would be exempt"}]
    assert told["detail"] == (
        "the whole group board would be exempt. Nothing is in force: change 1 needs the approval of a second person, "
        "not anna: gatepost approve 1. Nobody else may approve so far: make somebody an approver (gatepost operator "
        "add NAME --role approver), or, where there is one operator only, set [changes] second_person = false"
    )
    assert (await api.get("/exemptions")).json()["exemptions"] == []


async def test_where_somebody_else_may_approve_only_that_is_said(api: httpx.AsyncClient, control: Control) -> None:
    await control.token("bob", exactly=Role.APPROVER)
    answer = await api.post("/exemptions", json={**ANN, "user": "", "group": "board"})
    assert answer.json()["detail"].endswith("not anna: gatepost approve 1")
