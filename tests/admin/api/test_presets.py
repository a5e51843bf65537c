"""Published ban lists by API: shown, and imported as a change that is not in force."""

import httpx

from tests.support.control import Control

PATH = "/ban-presets/india-2020-06-29"


async def test_lists_say_how_much_of_them_is_recognised(api: httpx.AsyncClient) -> None:
    listed = {each["name"]: each for each in (await api.get("/ban-presets")).json()["presets"]}
    india = listed["india-2020-06-29"]
    assert (india["apps"], india["android"], india["ios"], india["unrecognised"]) == (59, 44, 11, 15)
    shown = (await api.get(PATH)).json()
    assert shown["sources"][0].startswith("Government of India")
    unknown = next(each for each in shown["entries"] if each["app"] == "QQ Player")
    assert (unknown["ids"], unknown["candidates"]) == ([], ["android:com.tencent.research.drop"])
    assert (await api.get("/ban-presets/nowhere")).status_code == 404


async def test_an_import_is_a_previewed_change_and_nothing_is_in_force(
    api: httpx.AsyncClient, control: Control
) -> None:
    answer = (await api.post(f"{PATH}/import", json={"note": "ticket 4711"})).json()
    assert (answer["apps"], answer["android"], answer["ios"], len(answer["left_out"])) == (59, 44, 11, 15)
    assert (answer["change"], answer["newly_cut"], answer["already"], answer["warnings"]) == (1, 0, [], [])
    change = (await api.get("/changes/1")).json()
    assert (change["state"], change["note"], len(change["touches"])) == ("previewed", "ticket 4711", 88)
    assert (await api.get("/bans")).json()["bans"] == []
    applied = (await api.post("/changes/1/apply")).json()
    assert applied["in_force"]
    assert len((await api.get("/bans")).json()["bans"]) == 44
    again = (await api.post(f"{PATH}/import", json={})).json()
    assert (again["change"], len(again["already"])) == (None, 44)


async def test_an_unknown_group_is_told(api: httpx.AsyncClient) -> None:
    answer = (
        await api.post("/ban-presets/amazon-2020-07-10/import", json={"groups": ["nobody"], "flag": "off"})
    ).json()
    assert "nobody" in answer["warnings"][0]
    assert answer["change"] == 1
