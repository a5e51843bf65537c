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
