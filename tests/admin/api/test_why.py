"""Why by API."""

import httpx
import pytest

from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import App, Naming, Platform, Scope
from tests.support.control import NOW, Control

USER = "ann@corp.example"
TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok", "30.1")


@pytest.fixture
def ann(control: Control) -> None:
    source = SourceEvidence(
        "mdm", "s1", Scope.DEVICE, Naming.IDENTIFIER, NOW - 3600, 86_400.0, (TIKTOK,), full_at=NOW - 3600
    )
    device = DeviceEvidence("abc1", BindingState.BOUND, (source,), platform=Platform.ANDROID)
    control.records[USER] = PersonRecord(USER, True, (USER,), frozenset({"sales"}), {"abc1": device})


async def test_why_a_device_is_refused(api: httpx.AsyncClient, ann: None) -> None:
    body = {"name": "TikTok", "matchers": [{"value": "android:com.zhiliaoapp.musically"}], "text": "Please remove it."}
    await api.post("/bans", json=body)
    await api.put("/flags/bans/TikTok", json={"flag": "enforce"})
    await api.put("/flags/grace", json={"seconds": 60})
    told = (await api.get("/why", params={"user": "CORP\\ANN", "device": "ABC1"})).json()
    assert (told["user"], told["person"], told["known"], told["groups"]) == (USER, USER, True, ["sales"])
    assert (told["policy"]["number"], told["policy"]["author"]) == (4, "anna")
    (answer,) = told["answers"]
    assert (answer["effect"], answer["reason"], answer["posture"]) == ("deny", "banned_app", "dirty")
    assert (answer["ban"], answer["flag"], answer["source"]) == ("TikTok", "enforce", "mdm")
    assert answer["flag_set_by"]["number"] == 3
    assert answer["app"] == {"platform": "android", "id": TIKTOK.id, "name": "TikTok", "version": "30.1"}
    assert (answer["evidence_age_seconds"], answer["note"]) == (3600.0, "Please remove it.")
    assert (answer["next_change_at"], answer["next_effect"]) == ("2023-11-15T21:13:20Z", "deny")
    assert answer["would_allow"][0] == "mdm reports device abc1 again, later, without TikTok"
    assert answer["binding"] == "bound"
    assert answer["evidence"][0]["apps"] == 1
    assert answer["evidence"][0]["stale_at"] == "2023-11-15T21:13:20Z"


async def test_why_a_user_lists_all_devices_and_the_user_as_a_whole(api: httpx.AsyncClient, ann: None) -> None:
    told = (await api.get("/why", params={"user": "ann"})).json()
    assert [each["device"] for each in told["answers"]] == ["abc1", ""]
    assert {each["effect"] for each in told["answers"]} == {"allow"}


async def test_why_somebody_nobody_knows(api: httpx.AsyncClient) -> None:
    told = (await api.get("/why", params={"user": "bob", "device": "new1"})).json()
    assert told["known"] is False
    (answer,) = told["answers"]
    assert (answer["effect"], answer["binding"]) == ("allow", "unknown")
    assert (answer["would"]["effect"], answer["would"]["reason"]) == ("deny", "device_unmatched")


@pytest.mark.parametrize(
    "query",
    [{}, {"user": ""}, {"user": "a@b@c"}, {"user": "a", "device": "x y"}, {"user": "a", "protocol": "x"}],
)
async def test_what_cannot_be_asked(api: httpx.AsyncClient, query: dict[str, str]) -> None:
    refused = await api.get("/why", params=query)
    assert refused.status_code == 422
    assert refused.json()["detail"]


async def test_the_change_behind_a_version_is_told(api: httpx.AsyncClient, ann: None) -> None:
    await api.post("/bans", json={"name": "TikTok", "matchers": [{"value": f"android:{TIKTOK.id}"}]})
    await api.put("/flags/bans/TikTok", json={"flag": "enforce"})
    told = (await api.get("/why", params={"user": "ann", "device": "abc1"})).json()
    change = told["policy"]["change"]
    assert (change["number"], change["author"], change["applied_by"], change["stage"]) == (2, "anna", "anna", 1)
    assert told["answers"][0]["flag_set_by"]["change"] == change
    await api.post("/changes/2/withdraw", json={})
    told = (await api.get("/why", params={"user": "ann", "device": "abc1"})).json()
    assert told["policy"]["change"]["withdrawn"] is True
    assert told["answers"][0]["effect"] == "allow"


async def test_what_if_answers_and_changes_nothing(api: httpx.AsyncClient, ann: None) -> None:
    asked = {"user": "ann", "device": "abc1", "with_app": "ios:com.a", "unknown": "stale=deny"}
    told = (await api.get("/why", params=asked)).json()
    assert (told["what_if"], told["answers"][0]["effect"]) == (True, "allow")
    bad = await api.get("/why", params={"user": "ann", "flag": "Nobody=enforce"})
    assert (bad.status_code, "there is no ban" in bad.json()["detail"]) == (422, True)
    assert (await api.get("/policies")).json()["policies"][0]["number"] == 1


async def test_looking_for_an_app_at_somebody_takes_a_reason_and_is_audited(
    api: httpx.AsyncClient, control: Control, ann: None
) -> None:
    asked = {"user": "ann", "with_ban": f"Clips=android:{TIKTOK.id}"}
    refused = await api.get("/why", params=asked)
    assert (refused.status_code, "give a reason" in refused.json()["detail"]) == (422, True)
    told = (await api.get("/why", params={**asked, "reason": "ticket 4711"})).json()
    assert told["answers"][0]["plain"][0] == f"Mail is blocked because of an app on this device: TikTok ({TIKTOK.id})."
    entries = (await api.get("/audit/entries", params={"user": "ann"})).json()["entries"]
    viewed = [each for each in entries if each["entry"]["kind"] == "person_viewed"]
    assert len(viewed) == 1
    assert viewed[0]["entry"]["details"] == {
        "what": "what_if",
        "bans": [f"Clips=android:{TIKTOK.id}"],
        "reason": "ticket 4711",
    }


async def test_an_earlier_policy_version_judges_what_is_known_now(api: httpx.AsyncClient, ann: None) -> None:
    await api.post("/bans", json={"name": "TikTok", "matchers": [{"value": f"android:{TIKTOK.id}"}]})
    await api.put("/flags/bans/TikTok", json={"flag": "enforce"})
    await api.put("/flags/bans/TikTok", json={"flag": "off"})
    asked = {"user": "ann", "device": "abc1"}
    now, then = [(await api.get("/why", params={**asked, "policy": str(number)})).json() for number in (0, 3)]
    assert (now["what_if"], now["policy"]["number"], now["answers"][0]["effect"]) == (False, 4, "allow")
    assert (then["what_if"], then["policy"]["number"], then["answers"][0]["effect"]) == (True, 3, "deny")
    assert then["answers"][0]["flag_set_by"]["number"] == 3
    missing = await api.get("/why", params={**asked, "policy": "9"})
    assert (missing.status_code, missing.json()["detail"].partition(":")[0]) == (404, "there is no policy version 9")


async def test_nobody_has_set_what_is_only_thought(api: httpx.AsyncClient, ann: None) -> None:
    await api.post("/bans", json={"name": "TikTok", "matchers": [{"value": f"android:{TIKTOK.id}"}]})
    asked = {"user": "ann", "device": "abc1", "flag": "TikTok=enforce"}
    (answer,) = (await api.get("/why", params=asked)).json()["answers"]
    assert (answer["effect"], answer["ban"], answer["flag_set_by"]) == ("deny", "TikTok", None)
    thought = {"user": "ann", "device": "abc1", "with_ban": f"Clips=android:{TIKTOK.id}", "reason": "x"}
    (answer,) = (await api.get("/why", params=thought)).json()["answers"]
    assert (answer["ban"], answer["flag_set_by"]) == ("Clips", None)
