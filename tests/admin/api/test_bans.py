"""Bans by API."""

import httpx
import pytest

from tests.support.control import Control

TIKTOK = {"name": "TikTok", "matchers": [{"value": "android:com.zhiliaoapp.musically"}]}


async def test_a_ban_is_added_listed_shown_and_removed(api: httpx.AsyncClient, control: Control) -> None:
    added = await api.post("/bans", json={**TIKTOK, "text": "Please remove it.", "note": "ticket 4711"})
    assert added.status_code == 201
    answer = added.json()
    assert answer["policy_version"] == 2
    assert answer["summary"] == "ban TikTok added, report-only (ticket 4711)"
    assert (answer["author"], answer["in_force"], answer["in_force_on"], answer["workers"]) == ("anna", True, 1, 1)
    assert answer["created_at"] == "2023-11-14T22:13:20Z"
    listed = (await api.get("/bans")).json()
    assert listed["policy_version"] == 2
    shown = (await api.get("/bans/tiktok")).json()
    assert listed["bans"] == [shown]
    assert shown["matchers"] == [
        {
            "kind": "id",
            "value": "com.zhiliaoapp.musically",
            "platform": "android",
            "publisher": "",
            "below_version": "",
        }
    ]
    removed = await api.delete("/bans/TikTok")
    assert removed.json()["policy_version"] == 3
    assert (await api.get("/bans/TikTok")).status_code == 404


async def test_before_the_fleet_is_known_enforcement_waits_and_turning_down_does_not(
    api: httpx.AsyncClient, control: Control
) -> None:
    assert (await api.post("/bans", json={**TIKTOK, "flag": "enforce"})).status_code == 201
    control.not_ready = "the index of the fleet is being built, 40 % of 9 people"
    refused = await api.put("/flags/unknowns/stale", json={"setting": "deny"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json()["type"] == "urn:gatepost:problem:not_ready_yet"
    assert "40 %" in refused.json()["detail"]
    assert (await api.put("/flags/bans/TikTok", json={"flag": "off"})).status_code == 200


async def test_what_is_shown_can_be_sent_again(api: httpx.AsyncClient) -> None:
    given = {
        "name": "Everything",
        "matchers": [
            {"kind": "id", "value": "android:com.example.app", "below_version": "4.2"},
            {"kind": "id", "value": "com.example.*", "platform": "ios"},
            {"kind": "id_prefix", "value": "org.example", "platform": "android"},
            {"kind": "signer", "value": "AB:" * 31 + "AB"},
            {"kind": "team_id", "value": "ABCDE12345"},
            {"kind": "extension_id", "value": "abcdefghij"},
            {"kind": "origin", "value": "sideload"},
            {"kind": "name", "value": "Tik*", "publisher": "Byte*", "platform": "windows"},
        ],
        "exceptions": [{"kind": "id", "value": "android:org.example.fine"}],
        "groups": ["sales", "board"],
        "starts_at": "2026-01-31T08:00:00+01:00",
        "ends_at": "2026-12-31T00:00:00Z",
    }
    assert (await api.post("/bans", json=given)).status_code == 201
    shown = (await api.get("/bans/Everything")).json()
    assert shown["starts_at"] == "2026-01-31T07:00:00Z"
    assert shown["groups"] == ["board", "sales"]
    assert [each["kind"] for each in shown["matchers"]][:3] == ["id", "id_prefix", "id_prefix"]
    assert shown["matchers"][1]["value"] == "com.example.*"
    again = {key: shown[key] for key in given} | {"name": "Again"}
    assert (await api.post("/bans", json=again)).status_code == 201
    copy = (await api.get("/bans/Again")).json()
    assert {**copy, "name": ""} == {**shown, "name": ""}


async def test_weak_and_wide_matchers_are_warned_about(api: httpx.AsyncClient) -> None:
    answer = await api.post("/bans", json={"name": "x", "matchers": [{"kind": "name", "value": "Tik*"}]})
    assert "weak" in answer.json()["warnings"][0]


async def test_a_group_without_members_is_warned_about(api: httpx.AsyncClient) -> None:
    answer = await api.post("/bans", json={**TIKTOK, "groups": ["sales", "board"]})
    assert answer.json()["warnings"] == ["nobody known is in group board", "nobody known is in group sales"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "x", "matchers": [{"value": "android:com.google.*"}]}, "nearly no phone has mail"),
        ({"name": "x", "matchers": [{"value": "com.example"}]}, "must name its platform"),
        ({"name": "x", "matchers": [{"value": "android:com.*.x"}]}, "is no app id"),
        ({"name": "x", "matchers": [{"kind": "signer", "value": "abc"}]}, "SHA-256"),
        ({"name": "x", "matchers": []}, "matchers"),
        ({"name": "x"}, "matchers"),
        ({"name": "a/b", "matchers": [{"value": "android:a.b"}]}, "no slash"),
        ({**TIKTOK, "flag": "on"}, "flag"),
        ({**TIKTOK, "surprise": 1}, "surprise"),
        ({**TIKTOK, "starts_at": "2026-01-31T08:00:00"}, "starts_at"),
        ({"name": "x", "matchers": [{"value": "android:a.b", "publisher": "y"}]}, "kind name only"),
    ],
)
async def test_what_is_no_ban_is_refused_in_one_sentence(
    api: httpx.AsyncClient, body: dict[str, object], words: str
) -> None:
    refused = await api.post("/bans", json=body)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert words in refused.json()["detail"]


async def test_a_ban_that_is_there_or_is_not(api: httpx.AsyncClient) -> None:
    await api.post("/bans", json=TIKTOK)
    assert "exists already" in (await api.post("/bans", json=TIKTOK)).json()["detail"]
    missing = await api.delete("/bans/nothing")
    assert missing.status_code == 404
    assert missing.json()["detail"] == "there is no ban 'nothing'; there are: TikTok"


async def test_silent_workers_are_named(api: httpx.AsyncClient, control: Control) -> None:
    control.workers.names, control.workers.silent = ("worker-1", "worker-2"), ("worker-2",)
    answer = (await api.post("/bans", json=TIKTOK)).json()
    assert (answer["in_force"], answer["in_force_on"], answer["silent"]) == (False, 1, ["worker-2"])
