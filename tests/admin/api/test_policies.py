"""Policy versions by API."""

import httpx


async def test_who_changed_what(api: httpx.AsyncClient) -> None:
    await api.post("/bans", json={"name": "TikTok", "matchers": [{"value": "android:com.zhiliaoapp.musically"}]})
    await api.put("/flags/global", json={"on": False, "note": "fire drill"})
    listed = (await api.get("/policies")).json()["policies"]
    assert [(each["number"], each["author"], each["summary"]) for each in listed] == [
        (3, "anna", "enforcement switched off globally (fire drill)"),
        (2, "anna", "ban TikTok added, report-only"),
        (1, "gatepost", "first start"),
    ]
    assert len((await api.get("/policies?limit=1")).json()["policies"]) == 1
    second = (await api.get("/policies/2")).json()
    assert (second["enforcement_on"], [ban["name"] for ban in second["bans"]]) == (True, ["TikTok"])


async def test_versions_that_are_not(api: httpx.AsyncClient) -> None:
    for number in ("9", "0", "-1", "9" * 30):
        assert (await api.get(f"/policies/{number}")).status_code == 404
    for query in ("?limit=0", "?limit=1001", "/x"):
        assert (await api.get(f"/policies{query}")).status_code == 422
