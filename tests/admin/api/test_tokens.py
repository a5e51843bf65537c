"""Tokens by API."""

import httpx

from tests.support.control import Control


async def test_a_token_is_created_works_is_listed_and_revoked(api: httpx.AsyncClient) -> None:
    created = await api.post("/tokens", json={"operator": "bob", "role": "viewer"})
    assert created.status_code == 201
    made = created.json()
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert (await api.get("/bans", headers=bearer)).status_code == 200
    listed = (await api.get("/tokens")).json()["tokens"]
    assert made["token"] not in (await api.get("/tokens")).text
    assert {each["operator"]: each["usable"] for each in listed} == {"anna": True, "bob": True}
    revoked = (await api.delete(f"/tokens/{made['id']}")).json()
    assert (revoked["usable"], revoked["revoked_at"]) == (False, "2023-11-14T22:13:20Z")
    assert (await api.get("/bans", headers=bearer)).status_code == 401


async def test_a_token_may_expire(api: httpx.AsyncClient, control: Control) -> None:
    made = (await api.post("/tokens", json={"operator": "bob", "expires_at": "2023-11-15T00:00:00Z"})).json()
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert (await api.get("/bans", headers=bearer)).status_code == 200
    control.now += 86_400
    assert (await api.get("/bans", headers=bearer)).status_code == 401


async def test_the_last_token_of_an_editor_stays(api: httpx.AsyncClient) -> None:
    (only,) = (await api.get("/tokens")).json()["tokens"]
    await api.post("/tokens", json={"operator": "eve", "role": "viewer"})
    refused = await api.delete(f"/tokens/{only['id']}")
    assert refused.status_code == 409
    assert "create another one first" in refused.json()["detail"]


async def test_what_is_no_token(api: httpx.AsyncClient) -> None:
    assert (await api.delete("/tokens/nothing")).status_code == 404
    for body in ({"operator": ""}, {"operator": "bob", "role": "god"}, {"operator": "\x07"}):
        assert (await api.post("/tokens", json=body)).status_code == 422
    late = await api.post("/tokens", json={"operator": "bob", "expires_at": "2020-01-01T00:00:00Z"})
    assert "expired already" in late.json()["detail"]
