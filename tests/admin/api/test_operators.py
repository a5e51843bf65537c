"""Operators by API: made alone while nobody else may approve, else by two people."""

import httpx
import pytest

from gateway.domain.operator import Role
from gateway.ports.store import ChangeKind, Writing
from tests.support.control import Control


@pytest.fixture
async def bob(api: httpx.AsyncClient, control: Control) -> httpx.AsyncClient:
    """An approver beside anna, who made him alone."""
    done = await api.post("/operators", json={"name": "bob", "roles": ["approver", "editor"]})
    assert done.status_code == 201, done.text
    return await control.client("bob")


async def approve(client: httpx.AsyncClient, number: int) -> httpx.Response:
    digest = (await client.get(f"/changes/{number}")).json()["digest"]
    return await client.post(f"/changes/{number}/approve", json={"digest": digest})


async def names(api: httpx.AsyncClient) -> list[str]:
    return [each["name"] for each in (await api.get("/operators")).json()["operators"]]


async def test_the_first_of_all_makes_one_alone_and_it_is_said(api: httpx.AsyncClient, control: Control) -> None:
    body = {"name": "bob", "roles": ["approver"], "logins": ["CORP\\bob"]}
    done = (await api.post("/operators", json=body)).json()
    assert (done["alone"], done["change"]) == (True, None)
    assert "nobody else who may approve" in done["sentence"]
    assert done["operator"]["logins"] == ["bob@corp.example"]
    async with control.store.read() as reading:
        last = (await reading.audit_entries(0, 100))[-1]
    assert b'"alone":true' in last.entry


async def test_with_an_approver_it_takes_two(api: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    waits = await api.post("/operators", json={"name": "eve", "roles": ["approver"]})
    assert waits.status_code == 202
    number = waits.json()["change"]
    assert f"change {number}" in waits.json()["sentence"]
    assert "eve" not in await names(api)
    assert "made with the same token" in (await approve(api, number)).json()["detail"]
    assert (await api.post(f"/changes/{number}/apply")).status_code == 409
    assert "eve" not in await names(api)
    assert (await approve(bob, number)).status_code == 200
    assert (await api.post(f"/changes/{number}/apply")).status_code == 200
    assert "eve" in await names(api)


async def test_the_author_with_a_second_token_is_the_author(api: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    number = (await api.post("/operators", json={"name": "eve", "roles": ["viewer"]})).json()["change"]
    second = (await api.post("/tokens", json={"operator": "ANNA"})).json()
    bearer = {"Authorization": f"Bearer {second['token']}"}
    digest = (await api.get(f"/changes/{number}")).json()["digest"]
    refused = await api.post(f"/changes/{number}/approve", json={"digest": digest}, headers=bearer)
    assert (refused.status_code, "another person's approval" in refused.json()["detail"]) == (422, True)


async def test_a_token_in_an_approvers_name_is_of_no_use_before_it_is_approved(
    api: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    made = await api.post("/tokens", json={"operator": "bob"})
    assert made.status_code == 202
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await api.get("/bans", headers=bearer)).status_code == 401
    number = made.json()["change"]
    await approve(bob, number)
    assert (await api.post(f"/changes/{number}/apply")).status_code == 200
    assert (await api.get("/bans", headers=bearer)).status_code == 200


async def test_a_token_that_only_looks_needs_nobody(api: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    made = await api.post("/tokens", json={"operator": "bob", "role": "viewer"})
    assert (made.status_code, made.json()["roles"]) == (201, ["viewer"])


async def test_roles_are_given_by_two_and_taken_by_one(api: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    taken = await api.put("/operators/bob/roles", json={"roles": ["approver"]})
    assert (taken.status_code, taken.json()["operator"]["roles"]) == (200, ["approver"])
    for roles in (["approver", "auditor"], ["viewer"]):
        assert (await api.put("/operators/bob/roles", json={"roles": roles})).status_code == 202
    assert (await api.delete("/operators/bob")).status_code == 202


async def test_a_removed_operator_has_no_token_any_more(api: httpx.AsyncClient, control: Control) -> None:
    async with await control.client("vera", exactly=Role.VIEWER) as vera:
        assert (await vera.get("/bans")).status_code == 200
        assert (await api.delete("/operators/vera")).json()["operator"]["removed_at"]
        assert (await vera.get("/bans")).status_code == 401
    again = await api.post("/operators", json={"name": "Vera", "roles": ["viewer"]})
    assert again.status_code == 201


async def test_somebody_remains_who_may_make_operators(api: httpx.AsyncClient) -> None:
    for answer in (
        await api.delete("/operators/anna"),
        await api.put("/operators/anna/roles", json={"roles": ["approver"]}),
    ):
        assert (answer.status_code, "nobody could make operators" in answer.json()["detail"]) == (409, True)


async def test_the_first_starts_token_does_not_approve_beside_another(
    api: httpx.AsyncClient, bob: httpx.AsyncClient, control: Control
) -> None:
    first = await control.client("root", exactly=Role.APPROVER)

    async def mark(writing: Writing) -> None:
        for each in await writing.operators():
            if each.name == "root":
                await writing.put_operator(type(each)(each.name, each.roles, first_start=True))

    await control.store.write(mark)
    number = (await api.post("/operators", json={"name": "eve", "roles": ["viewer"]})).json()["change"]
    refused = await approve(first, number)
    assert "the token of the first start cannot approve" in refused.json()["detail"]


async def test_what_is_no_operator(api: httpx.AsyncClient) -> None:
    assert (await api.get("/operators/nobody")).status_code == 404
    assert (await api.post("/operators", json={"name": "ANNA", "roles": ["viewer"]})).status_code == 409
    for body in ({"name": "x", "roles": []}, {"name": "x", "roles": ["god"]}, {"name": "\x07", "roles": ["viewer"]}):
        assert (await api.post("/operators", json=body)).status_code == 422


async def test_a_lost_token_of_another_is_revoked_even_if_it_is_the_persons_last(
    api: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    (lost,) = [each for each in (await api.get("/tokens")).json()["tokens"] if each["operator"] == "bob"]
    assert (await api.delete(f"/tokens/{lost['id']}")).json()["usable"] is False
    assert (await bob.get("/bans")).status_code == 401


async def test_a_source_for_any_device_takes_two_and_its_change_holds_no_secret(
    api: httpx.AsyncClient, bob: httpx.AsyncClient, control: Control
) -> None:
    assert (await api.post("/sources", json={"name": "kiosks", "devices": "kiosk-*"})).status_code == 201
    waits = await api.post("/sources", json={"name": "mdm", "devices": "*"})
    assert (waits.status_code, waits.json()["secret"]) == (202, "")
    number = waits.json()["change"]
    assert [each["name"] for each in (await api.get("/sources")).json()["sources"]] == ["kiosks"]
    async with control.store.read() as reading:
        assert "whsec_" not in repr(await reading.policy_change(number))
    await approve(bob, number)
    assert (await api.post(f"/changes/{number}/apply")).status_code == 200
    assert (await api.post("/sources/mdm/rotate", json={})).json()["secret"].startswith("whsec_")


async def test_a_wide_source_of_a_new_name_changes_nobody_and_one_that_comes_back_everybody(
    api: httpx.AsyncClient, bob: httpx.AsyncClient, control: Control
) -> None:
    """What is logged of everybody has every worker read all it knows again, and the index built anew."""
    for again in (False, True):
        number = (await api.post("/sources", json={"name": "mdm", "devices": "*"})).json()["change"]
        await approve(bob, number)
        control.published.clear()
        assert (await api.post(f"/changes/{number}/apply")).status_code == 200
        assert (ChangeKind.EVERYBODY in {each.kind for each in control.published}) is again
        assert (await api.delete("/sources/mdm")).status_code == 200


async def test_with_a_token_that_only_looks_nobody_makes_one_that_does_more(
    api: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    """It takes nobody's yes to be made, in an approver's name, too: its author would be two people."""
    looks = (await api.post("/tokens", json={"operator": "bob", "role": "viewer"})).json()
    bearer = {"Authorization": f"Bearer {looks['token']}"}
    refused = await api.post("/tokens", json={"operator": "bob"}, headers=bearer)
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "this token of bob only looks: make the other one with a token that does more",
    )
    again = await api.post("/tokens", json={"operator": "bob", "role": "viewer"}, headers=bearer)
    assert (again.status_code, again.json()["roles"]) == (201, ["viewer"])
    (own,) = [each for each in (await bob.get("/tokens")).json()["tokens"] if "approver" in each["roles"]][:1]
    assert (await api.delete(f"/tokens/{own['id']}", headers=bearer)).status_code == 403
    assert (await api.delete(f"/tokens/{again.json()['id']}", headers=bearer)).status_code == 403
    assert (await api.delete(f"/tokens/{looks['id']}", headers=bearer)).status_code == 200


async def test_who_made_a_token_while_it_took_nobodys_yes_has_none_when_its_roles_grow(
    api: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    waits = await api.post("/operators", json={"name": "dave", "roles": ["auditor"]})
    await approve(bob, waits.json()["change"])
    await api.post(f"/changes/{waits.json()['change']}/apply")
    made = await api.post("/tokens", json={"operator": "dave"})
    assert made.status_code == 201
    daves = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await api.get("/bans", headers=daves)).status_code == 200
    number = (await api.put("/operators/dave/roles", json={"roles": ["auditor", "approver"]})).json()["change"]
    await approve(bob, number)
    assert (await api.post(f"/changes/{number}/apply")).status_code == 200
    assert (await api.get("/bans", headers=daves)).status_code == 401
    assert (await api.post("/tokens", json={"operator": "dave"})).status_code == 202


async def test_roles_that_were_changed_meanwhile_do_not_come_back_with_an_older_change(
    api: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    number = (await api.put("/operators/bob/roles", json={"roles": ["approver", "editor", "auditor"]})).json()["change"]
    taken = await api.put("/operators/bob/roles", json={"roles": ["approver"]})
    assert taken.status_code == 200
    await approve(bob, number)
    refused = await api.post(f"/changes/{number}/apply")
    assert refused.status_code == 422
    assert refused.json()["detail"] == (
        f"change {number} cannot be applied any more: the roles of bob were changed meanwhile, to approver: say them "
        "anew (gatepost operator roles bob)"
    )
    assert (await api.get("/operators/bob")).json()["roles"] == ["approver"]


async def test_an_approval_counts_no_more_when_its_token_is_revoked(
    api: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    number = (await api.post("/operators", json={"name": "eve", "roles": ["viewer"]})).json()["change"]
    await approve(bob, number)
    (stolen,) = [each for each in (await api.get("/tokens")).json()["tokens"] if each["operator"] == "bob"]
    assert (await api.delete(f"/tokens/{stolen['id']}")).status_code == 200
    refused = await api.post(f"/changes/{number}/apply")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:gatepost:problem:needs_approval")
    assert "eve" not in await names(api)


async def test_what_a_source_has_said_is_taken_away_by_two(
    api: httpx.AsyncClient, bob: httpx.AsyncClient, control: Control
) -> None:
    """It frees whoever it alone called dirty, and cuts whoever it alone proved clean."""
    await api.post("/sources", json={"name": "kiosks", "devices": "kiosk-*"})
    waits = await api.delete("/sources/kiosks", params={"with_evidence": True})
    assert (waits.status_code, list(waits.json())) == (202, ["change", "sentence"])
    number = waits.json()["change"]
    (source,) = (await api.get("/sources")).json()["sources"]
    assert (source["name"], source["secrets"]) == ("kiosks", 1)
    assert (await api.post(f"/changes/{number}/apply")).status_code == 409
    await approve(bob, number)
    control.published.clear()
    assert (await api.post(f"/changes/{number}/apply")).status_code == 200
    assert [change.kind for change in control.published] == [ChangeKind.EVERYBODY]
    assert (await api.get("/sources")).json()["sources"] == []
    # Without it the one who is there removes it at once.
    await api.post("/sources", json={"name": "others", "devices": "kiosk-*"})
    assert (await api.delete("/sources/others")).status_code == 200
