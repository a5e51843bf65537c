"""Policy files by API, edits that are held for a word, and what comes at its moment."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.changes import edits
from gateway.changes.desk import Actor, ChangeDesk
from gateway.changes.policy_file import LONGEST
from gateway.domain.bans import Flag
from gateway.domain.operator import Role
from tests.support.control import NOW, Control

BAN = {"name": "TikTok", "matchers": [{"value": "android:com.zhiliaoapp.musically"}]}
DOCUMENT: dict[str, Any] = {
    "note": "ticket 4711",
    "bans": {"ban": [{"name": "TikTok", "id": "android:com.zhiliaoapp.musically", "flag": "enforce"}]},
}
STAGES = [{"report_only_for": "24h"}, {"percent": 10, "for": "4h"}, {"everybody": True}]


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat()


async def test_json_of_the_same_shape_is_a_policy_file_too(api: httpx.AsyncClient) -> None:
    rollout = {"stages": STAGES, "at": moment(3600), "stop": {"cut_per_hour": 500}}
    answer = await api.post("/changes", json={**DOCUMENT, "rollout": rollout})
    assert answer.status_code == 201, answer.text
    change = answer.json()["change"]
    assert (change["state"], change["note"], change["source"]) == ("previewed", "ticket 4711", "")
    assert change["touches"][0] == "ban TikTok added: android:com.zhiliaoapp.musically"
    assert (change["guards"], change["refusal"]) == ([], "")
    assert [each["after_seconds"] for each in change["stages"]] == [0.0, 86_400.0, 14_400.0]
    assert change["stages"][0]["stop"] == {"cut_per_hour": 500, "undelivered": None, "wrong": None}
    applied = await api.post("/changes/1/apply")
    assert applied.status_code == 202
    assert applied.json()["state"] == "scheduled"


async def test_the_text_of_a_file_is_kept_and_what_is_so_already_is_no_change(api: httpx.AsyncClient) -> None:
    text = '# why\n[[bans.ban]]\nname = "TikTok"\nid = "android:com.zhiliaoapp.musically"\n'
    change = (await api.post("/changes", json={"toml": text})).json()["change"]
    assert change["source"] == text
    await api.post("/changes/1/apply")
    assert (await api.post("/changes", json={"toml": text})).json() == {"policy_version": 2, "change": None}
    exported = (await api.get("/policy-file")).json()
    assert exported["policy_version"] == 2
    assert (await api.post("/changes", json={"toml": exported["toml"]})).json()["change"] is None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"toml": "[nothing]"}, "line 1, nothing: there is no key nothing"),
        ({"toml": "", "note": "x"}, "toml is the whole of it"),
        ({"toml": "x" * (LONGEST + 1)}, "toml: String should have at most"),
        ({"bans": {"ban": [{"name": "x", "flag": "maybe"}]}}, "bans.ban.0.flag: Input should be"),
        ({"bans": {"ban": [{"name": "x"}]}}, "bans.ban[1]: say what the ban recognises"),
        ({"based_on": 9}, "based_on names policy version 9, the newest here is 1"),
        ({"rollout": {"at": moment(-1)}}, "rollout: at 2023-11-14 22:13 UTC has passed"),
        ({"exemptions": {"exemption": [{"user": "a@b@c", "reason": "x"}]}}, "exemptions.exemption[1]: "),
    ],
)
async def test_what_is_no_policy_file(api: httpx.AsyncClient, body: dict[str, Any], sentence: str) -> None:
    answer = await api.post("/changes", json=body)
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]
    assert (await api.get("/changes")).json()["changes"] == []


async def test_who_may_only_turn_down_plans_nothing(control: Control) -> None:
    async with await control.client("olga", exactly=Role.OPERATOR) as olga:
        assert (await olga.post("/changes", json=DOCUMENT)).status_code == 403
        assert (await olga.get("/policy-file")).status_code == 200


# --- held


async def test_an_edit_that_is_held_is_a_change_to_be_applied_or_rejected(api: httpx.AsyncClient) -> None:
    held = await api.post("/bans", params={"hold": True}, json=BAN)
    assert held.status_code == 201
    assert (held.json()["number"], held.json()["state"], held.json()["refusal"]) == (1, "previewed", "")
    assert (await api.get("/bans")).json()["bans"] == []
    assert (await api.post("/changes/1/apply")).json()["policy_version"] == 2
    held = await api.put("/flags/bans/TikTok", params={"hold": True}, json={"flag": "enforce"})
    assert held.json()["warnings"] == [
        "devices that nobody can judge still pass (missing, unmatched not set to deny): see gatepost status"
    ]
    assert (await api.post("/changes/2/reject", json={})).json()["state"] == "rejected"
    assert (await api.get("/flags")).json()["bans"][0]["flag"] == "report-only"


async def test_turning_down_and_what_changes_nothing_are_not_held(api: httpx.AsyncClient) -> None:
    await api.post("/bans", json={**BAN, "flag": "enforce"})
    down = await api.put("/flags/bans/TikTok", params={"hold": True}, json={"flag": "off"})
    assert (down.json()["policy_version"], down.json()["changed"]) == (3, True)
    same = await api.put("/flags/bans/TikTok", params={"hold": True}, json={"flag": "off"})
    assert (same.json()["policy_version"], same.json()["changed"]) == (3, False)


async def test_what_lacks_a_preview_does_not_wait_for_a_second_person(api: httpx.AsyncClient, control: Control) -> None:
    await api.post("/bans", json=BAN)
    desk = ChangeDesk(control.store, control, lambda: control.now)
    await desk.propose(Actor("anna", "t1"), lambda version: edits.set_flag(version, "TikTok", Flag.ENFORCE))
    refused = await api.post("/changes/2/apply")
    told = refused.json()
    assert (refused.status_code, told["type"], told["change"]) == (409, "urn:gatepost:problem:not_yet", 2)
    assert (told["detail"], told["guards"]) == ("change 2 has no preview yet: gatepost change preview 2", [])


async def test_what_cannot_be_previewed_leaves_no_draft_behind(api: httpx.AsyncClient, control: Control) -> None:
    await api.post("/operators", json={"name": "bob", "roles": ["approver"]})
    control.not_ready = "the index is at 3 %"
    for answer in (
        await api.post("/bans", json=BAN),
        await api.post("/bans", params={"hold": True}, json=BAN),
        await api.post("/changes", json=DOCUMENT),
        await api.post("/operators", json={"name": "eve", "roles": ["viewer"]}),
    ):
        assert answer.status_code == 503
    listed = (await api.get("/changes")).json()["changes"]
    assert [(each["number"], each["state"]) for each in listed] == [(n, "rejected") for n in (4, 3, 2, 1)]
    shown = (await api.get("/changes/1")).json()
    assert shown["history"][-1]["words"] == "it could not be previewed or applied"


async def test_what_guards_ask_is_said_before_it_is_applied(api: httpx.AsyncClient) -> None:
    body = {"group": "board", "reason": "agreed", "ends_at": moment(86_400)}
    held = (await api.post("/exemptions", params={"hold": True}, json=body)).json()
    assert [each["guard"] for each in held["guards"]] == ["exempts_group"]
    assert held["refusal"] == (
        "the whole group board would be exempt. Nothing is in force: change 1 needs the approval of a second person, "
        "not anna: gatepost approve 1. Nobody else may approve so far: make somebody an approver (gatepost operator "
        "add NAME --role approver), or, where there is one operator only, set [changes] second_person = false"
    )
    applied = await api.post("/changes/1/apply")
    assert (applied.status_code, applied.json()["detail"]) == (409, held["refusal"])


async def test_an_edit_by_stages_and_at_a_moment(api: httpx.AsyncClient) -> None:
    staged = await api.post("/bans", json={**BAN, "flag": "enforce", "rollout": {"stages": STAGES}})
    assert staged.json()["summary"] == "ban TikTok added, enforce, stage 1 of 3"
    assert (await api.get("/changes/1")).json()["state"] == "applying"
    later = await api.put("/flags/global", json={"on": False, "rollout": {"at": moment(60)}})
    assert (later.status_code, later.json()["state"]) == (202, "scheduled")
    assert later.json()["detail"] == "not before its time, in 60 seconds; it comes then by itself"
    assert (await api.get("/flags")).json()["enforcement_on"]
