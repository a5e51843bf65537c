"""Sources by API."""

import base64
from typing import Any

import httpx
import pytest

from gateway.ports.store import ChangeKind
from tests.support.control import Control


async def test_a_source_is_added_and_its_secret_shown_once(api: httpx.AsyncClient, control: Control) -> None:
    added = await api.post("/sources", json={"name": "agents", "devices": "kiosk-*", "scope": "managed_only"})
    assert added.status_code == 201
    secret = added.json()["secret"]
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    listed = await api.get("/sources")
    assert secret not in listed.text
    (source,) = listed.json()["sources"]
    assert source == {
        "name": "agents",
        "kind": "push",
        "devices": "kiosk-*",
        "scope": "managed_only",
        "max_age_seconds": 86400.0,
        "user": "",
        "secrets": 1,
        "created_at": "2023-11-14T22:13:20Z",
        "created_by": "anna",
        "removed_at": None,
    }
    async with control.store.read() as reading:
        stored = await reading.source("agents")
    assert stored is not None
    assert stored.secrets == (secret,)
    # No record rests on it yet.
    assert ChangeKind.EVERYBODY not in [change.kind for change in control.published]


async def test_one_that_comes_back_counts_again_for_everybody(api: httpx.AsyncClient, control: Control) -> None:
    await api.post("/sources", json={"name": "agents"})
    await api.delete("/sources/agents")
    control.published.clear()
    await api.post("/sources", json={"name": "agents", "max_age_seconds": 60})
    assert [change.kind for change in control.published] == [ChangeKind.EVERYBODY]


async def test_a_rotation_keeps_the_old_secret_until_it_is_finished(api: httpx.AsyncClient, control: Control) -> None:
    first = (await api.post("/sources", json={"name": "agents"})).json()["secret"]
    second = (await api.post("/sources/agents/rotate", json={})).json()["secret"]
    assert first != second
    finished = (await api.post("/sources/agents/rotate", json={"finish": True})).json()
    assert (finished["secret"], finished["secrets"]) == ("", 1)
    async with control.store.read() as reading:
        stored = await reading.source("agents")
    assert stored is not None
    assert stored.secrets == (second,)


async def test_secrets_do_not_pile_up(api: httpx.AsyncClient) -> None:
    await api.post("/sources", json={"name": "agents"})
    answers = [await api.post("/sources/agents/rotate", json={}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 409]
    assert "finish its rotation first" in answers[-1].json()["detail"]


async def test_a_source_may_sign_by_its_own_key(api: httpx.AsyncClient, control: Control) -> None:
    key = "whpk_" + base64.b64encode(bytes(32)).decode()
    added = (await api.post("/sources", json={"name": "agents", "public_key": key})).json()
    assert (added["secret"], added["secrets"]) == ("", 1)
    other = "whpk_" + base64.b64encode(bytes([1]) * 32).decode()
    rotated = (await api.post("/sources/agents/rotate", json={"public_key": other})).json()
    assert (rotated["secret"], rotated["secrets"]) == ("", 2)
    async with control.store.read() as reading:
        stored = await reading.source("agents")
    assert stored is not None
    assert stored.secrets == (other, key)


async def test_a_removed_source_is_gone_and_may_be_added_again(api: httpx.AsyncClient, control: Control) -> None:
    await api.post("/sources", json={"name": "agents"})
    assert (await api.post("/sources", json={"name": "agents"})).status_code == 409
    removed = (await api.delete("/sources/agents")).json()
    assert (removed["secrets"], removed["removed_at"]) == (0, "2023-11-14T22:13:20Z")
    assert (await api.get("/sources")).json()["sources"] == []
    assert (await api.delete("/sources/agents")).status_code == 404
    assert (await api.post("/sources/agents/rotate", json={})).status_code == 404
    assert (await api.post("/sources", json={"name": "agents"})).status_code == 201


@pytest.mark.parametrize("removed_before", [False, True])
async def test_a_source_may_be_removed_with_all_it_said(
    api: httpx.AsyncClient, control: Control, removed_before: bool
) -> None:
    await api.post("/sources", json={"name": "agents"})
    if removed_before:
        await api.delete("/sources/agents")
    control.published.clear()
    removed = await api.delete("/sources/agents", params={"with_evidence": True})
    assert (removed.status_code, removed.json()["devices"], removed.json()["secrets"]) == (200, "", 0)
    assert [change.kind for change in control.published] == [ChangeKind.EVERYBODY]
    async with control.store.read() as reading:
        stored = await reading.source("agents")
    assert stored is not None
    assert stored.disbelieved
    # By that name what it said would count again.
    again = await api.post("/sources", json={"name": "agents"})
    assert again.status_code == 409
    assert "another name" in again.json()["detail"]
    assert (await api.delete("/sources/agents", params={"with_evidence": True})).status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "a b"}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
        ({"name": "a", "kind": "pull"}, "kind"),
        ({"name": "a", "scope": "everything"}, "scope"),
        ({"name": "a", "max_age_seconds": 0}, "max_age_seconds"),
        ({"name": "a", "devices": ""}, "devices"),
        ({"name": "a", "public_key": "whpk_AAAA"}, "bytes"),
        ({"name": "a", "public_key": "AAAA"}, "begins with"),
        ({"name": "a", "public_key": "whpk_ä"}, "base64"),
        ({"name": "a", "public_key": "whsk_" + "A" * 43 + "="}, "never send the private half"),
    ],
)
async def test_what_is_no_source(api: httpx.AsyncClient, body: dict[str, Any], words: str) -> None:
    refused = await api.post("/sources", json=body)
    assert refused.status_code == 422
    assert words in refused.json()["detail"]
