"""Flags by API."""

import httpx
import pytest

from gateway.ports.store import Person, Writing
from tests.support.control import Control


@pytest.fixture(autouse=True)
async def tiktok(api: httpx.AsyncClient) -> None:
    await api.post("/bans", json={"name": "TikTok", "matchers": [{"value": "android:com.zhiliaoapp.musically"}]})


async def test_everything_that_can_be_turned_is_listed(api: httpx.AsyncClient) -> None:
    flags = (await api.get("/flags")).json()
    assert flags["enforcement_on"] is True
    assert flags["bans"] == [{"name": "TikTok", "flag": "report-only", "rules": []}]
    assert [each["name"] for each in flags["unknowns"]] == [
        "missing",
        "stale",
        "scope",
        "unmatched",
        "conflict",
        "compromised",
        "not_compliant",
    ]
    assert {each["setting"] for each in flags["unknowns"]} == {"report-only"}
    assert (flags["outlook_mobile"], flags["unavailable"]) == ("unmatched", "defer")
    assert flags["grace"] == {"seconds": 0.0, "devices": 2}


async def test_a_flag_is_set_for_all_and_for_some(api: httpx.AsyncClient) -> None:
    answer = await api.put("/flags/bans/TikTok", json={"flag": "enforce", "percent": 10, "protocol": "activesync"})
    assert answer.json()["summary"] == "flag of TikTok set to enforce for 10 % of the users, protocol activesync"
    flags = (await api.get("/flags")).json()
    assert flags["bans"][0]["rules"] == [{"flag": "enforce", "protocol": "activesync", "group": "", "percent": 10.0}]
    await api.put("/flags/bans/tiktok", json={"flag": "off"})
    assert (await api.get("/flags")).json()["bans"] == [{"name": "TikTok", "flag": "off", "rules": []}]


async def test_enforcing_while_unknowns_pass_is_warned_about(api: httpx.AsyncClient) -> None:
    answer = (await api.put("/flags/bans/TikTok", json={"flag": "enforce"})).json()
    assert answer["warnings"] == [
        "devices that nobody can judge still pass (missing, unmatched not set to deny): see gatepost status"
    ]
    for name in ("missing", "unmatched"):
        await api.put(f"/flags/unknowns/{name}", json={"setting": "deny"})
    assert (await api.put("/flags/bans/TikTok", json={"flag": "enforce"})).json()["warnings"] == []


async def test_a_stage_for_a_group_without_members_is_warned_about(api: httpx.AsyncClient) -> None:
    rollout = {"stages": [{"group": "bord", "for": "1d"}, {"everybody": True}]}
    held = await api.put("/flags/bans/TikTok", params={"hold": True}, json={"flag": "enforce", "rollout": rollout})
    assert "nobody known is in group bord" in held.json()["warnings"]
    ban = {"name": "Clips", "matchers": [{"kind": "id", "value": "android:org.example.clips"}], "rollout": rollout}
    added = await api.post("/bans", params={"hold": True}, json={**ban, "flag": "enforce"})
    assert "nobody known is in group bord" in added.json()["warnings"]


async def test_a_group_without_members_is_warned_about(api: httpx.AsyncClient, control: Control) -> None:
    body = {"flag": "off", "group": "board"}
    assert (await api.put("/flags/bans/TikTok", json=body)).json()["warnings"] == ["nobody known is in group board"]

    async def work(writing: Writing) -> None:
        await writing.put_person(Person("ann@corp.example", groups=frozenset({"board"})))

    await control.store.write(work)
    assert (await api.put("/flags/bans/TikTok", json=body)).json()["warnings"] == []


async def test_the_same_again_makes_no_version(api: httpx.AsyncClient) -> None:
    first = (await api.put("/flags/global", json={"on": False})).json()
    again = (await api.put("/flags/global", json={"on": False})).json()
    assert (first["changed"], again["changed"]) == (True, False)
    assert first["policy_version"] == again["policy_version"]


@pytest.mark.parametrize(
    ("path", "body", "key", "expected"),
    [
        ("/flags/global", {"on": False}, "enforcement_on", False),
        ("/flags/outlook_mobile", {"rule": "deny"}, "outlook_mobile", "deny"),
        ("/flags/unavailable", {"answer": "deny"}, "unavailable", "deny"),
        ("/flags/grace", {"seconds": 3600, "devices": 1}, "grace", {"seconds": 3600.0, "devices": 1}),
    ],
)
async def test_the_other_switches(
    api: httpx.AsyncClient, path: str, body: dict[str, object], key: str, expected: object
) -> None:
    assert (await api.put(path, json=body)).status_code == 200
    assert (await api.get("/flags")).json()[key] == expected


async def test_an_unknown_is_set_for_a_platform(api: httpx.AsyncClient) -> None:
    await api.put("/flags/unknowns/not-compliant", json={"setting": "deny", "platform": "ios"})
    found = {each["name"]: each for each in (await api.get("/flags")).json()["unknowns"]}
    assert found["not_compliant"]["rules"] == [{"setting": "deny", "protocol": None, "platform": "ios"}]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/flags/bans/nothing", {"flag": "off"}, 404, "there is no ban 'nothing'"),
        ("/flags/bans/TikTok", {"flag": "maybe"}, 422, "'off', 'report-only' or 'enforce'"),
        ("/flags/bans/TikTok", {"flag": "off", "percent": 101}, 422, "percent"),
        ("/flags/bans/TikTok", {"flag": "off", "protocol": "gopher"}, 422, "protocol"),
        ("/flags/unknowns/nothing", {"setting": "deny"}, 422, "none of missing"),
        ("/flags/global", {}, 422, "on: Field required"),
        ("/flags/grace", {"seconds": 1e9}, 422, "30 days"),
    ],
)
async def test_what_cannot_be_set(
    api: httpx.AsyncClient, path: str, body: dict[str, object], status: int, words: str
) -> None:
    refused = await api.put(path, json=body)
    assert refused.status_code == status
    assert words in refused.json()["detail"]
