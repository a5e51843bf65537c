"""SOGo's calendars and address books through the gateway: the same answers, closed by default, refused by an error."""

import asyncio
import re
from html import unescape
from xml.etree import ElementTree

import httpx
import pytest

from tests.live.conftest import PLANNER
from tests.live.mail_servers import PASSWORD
from tests.live.site import Site
from tests.support.running import Running
from tests.system.arranging import agent_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOME = f"/SOGo/dav/{PLANNER}"
EVENT = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//Gatepost//Test//EN\r
BEGIN:VEVENT\r
UID:standup@example\r
DTSTAMP:20260101T000000Z\r
DTSTART:20260105T090000Z\r
DTEND:20260105T091500Z\r
SUMMARY:Grüße aus dem Büro\r
END:VEVENT\r
END:VCALENDAR\r
"""
CARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:bert\r\nFN:Bert Müller\r\nN:Müller;Bert;;;\r\nEND:VCARD\r\n"
PROPERTIES = """<?xml version="1.0"?><D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop>
<D:displayname/><D:resourcetype/><D:getetag/><D:getcontenttype/><D:current-user-principal/><C:calendar-home-set/>
</D:prop></D:propfind>"""
QUERY = """<?xml version="1.0"?><C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop>
<D:getetag/><C:calendar-data/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"/>
</C:comp-filter></C:filter></C:calendar-query>"""
MULTIGET = f"""<?xml version="1.0"?><C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop>
<D:getetag/><C:calendar-data/></D:prop><D:href>{HOME}/Calendar/personal/a%20b.ics</D:href></C:calendar-multiget>"""
CARDS = """<?xml version="1.0"?><C:addressbook-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><D:prop>
<D:getetag/><C:address-data/></D:prop><C:filter/></C:addressbook-query>"""
CALENDAR, BOOK = f"{HOME}/Calendar/personal/", f"{HOME}/Contacts/personal/"
FILED = f"{CALENDAR}a%20b.ics"
XML = {"Depth": "1", "Content-Type": "application/xml; charset=utf-8"}
CONVERSATION: tuple[tuple[str, str, dict[str, str], str], ...] = (
    ("OPTIONS", f"{HOME}/", {}, ""),
    ("PROPFIND", f"{HOME}/", {"Depth": "0"}, PROPERTIES),
    ("PROPFIND", f"{HOME}/Calendar/", {"Depth": "1"}, PROPERTIES),
    ("PUT", FILED, {"If-None-Match": "*", "Content-Type": "text/calendar; charset=utf-8"}, EVENT),
    ("PUT", FILED, {"If-Match": '"another"', "Content-Type": "text/calendar; charset=utf-8"}, EVENT),
    ("PROPFIND", CALENDAR, {"Depth": "1"}, PROPERTIES),
    ("REPORT", CALENDAR, XML, QUERY),
    ("REPORT", CALENDAR, XML, MULTIGET),
    ("GET", FILED, {}, ""),
    ("HEAD", FILED, {}, ""),
    ("PUT", f"{BOOK}bert.vcf", {"Content-Type": "text/vcard; charset=utf-8"}, CARD),
    ("REPORT", BOOK, XML, CARDS),
    ("PROPFIND", f"{HOME}/Calendar/nowhere/", {"Depth": "0"}, PROPERTIES),
    ("DELETE", f"{BOOK}bert.vcf", {}, ""),
    ("DELETE", FILED, {}, ""),
    ("GET", FILED, {}, ""),
)
STATUSES = [200, 207, 207, 201, 412, 207, 207, 207, 200, 200, 201, 207, 404, 204, 204, 404]
DROPPED = {
    "connection": "it is between two neighbours only (RFC 9110 §7.6.1)",
    "server": "the gateway does not tell what stands behind it",
    "date": "the moment of the answer",
    "content-length": "of chunks there is none; the body is compared",
    "transfer-encoding": "the same",
    "x-dav-error": "SOGo's own word beside the status, which no client reads",
}
ADDRESS = re.compile(r"http://127\.0\.0\.1(:[0-9]+)?")
"""SOGo writes whole addresses in some places."""
MOMENT = re.compile(r"(?<=getetag>)[0-9]{10}(?=<)")
"""A folder's own tag is the moment of its last change."""


def planner(url: str, password: str = PASSWORD) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, auth=(PLANNER, password), timeout=30)


async def conversation(url: str) -> list[tuple[str, int, dict[str, str], str]]:
    """What is answered to each request, without what may differ."""
    said = []
    async with planner(url) as client:
        for method, path, headers, body in CONVERSATION:
            answer = await client.request(method, path, headers=headers, content=body.encode())
            fields = {name: ADDRESS.sub("", value) for name, value in answer.headers.items() if name not in DROPPED}
            text = MOMENT.sub("", ADDRESS.sub("", answer.text))
            said.append((f"{method} {path}", answer.status_code, fields, text))
    return said


async def test_the_answers_are_those_of_the_server(site: Site, opened_gateway: Running) -> None:
    await conversation(site.plain)  # the first one makes folders
    direct = await conversation(site.plain)
    through = await conversation(opened_gateway.http)
    assert [each[:2] for each in through] == [each[:2] for each in direct]
    for here, there in zip(through, direct, strict=True):
        assert here[2] == there[2], here[0]
        assert here[3] == there[3], here[0]
    assert [code for _, code, _, _ in direct] == STATUSES
    assert all("Grüße aus dem Büro" in unescape(direct[number][3]) for number in (6, 7, 8))


async def test_closed_by_default(gateway: Running) -> None:
    async with planner(gateway.http) as client:
        for method, path, headers, body in CONVERSATION:
            assert (await client.request(method, path, headers=headers, content=body.encode())).status_code == 404
        assert (await client.get("/.well-known/caldav")).status_code == 404


async def test_found_by_its_well_known_name(opened_gateway: Running) -> None:
    async with planner(opened_gateway.http) as client:
        answer = await client.request("PROPFIND", "/.well-known/caldav", follow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (301, "/SOGo/dav/")


async def test_sogos_own_pages_stay_closed(opened_gateway: Running) -> None:
    async with planner(opened_gateway.http) as client:
        for path in (f"/SOGo/so/{PLANNER}", "/SOGo/", "/SOGo/dav;/so", "/SOGo/dav/%2e%2e/so", "/SOGo//dav/"):
            assert (await client.get(path)).status_code == 404, path


async def test_who_does_not_prove_who_he_is(opened_gateway: Running) -> None:
    async with planner(opened_gateway.http, "wrong") as client:
        answer = await client.request("PROPFIND", CALENDAR)
        assert (answer.status_code, answer.headers["WWW-Authenticate"][:5].lower()) == (401, "basic")
    async with httpx.AsyncClient(base_url=opened_gateway.http, timeout=30) as client:
        answer = await client.request("PROPFIND", CALENDAR)
        assert (answer.status_code, answer.headers["WWW-Authenticate"][:5].lower(), answer.text) == (401, "basic", "")


async def test_refused_by_an_error_and_back(site: Site, opened_gateway: Running) -> None:
    """One phone of the user is enough; nothing reaches SOGo."""
    async with agent_of(opened_gateway) as agent, planner(opened_gateway.http) as client:
        await agent.clean(PLANNER, "plannersphone")
        await agent.dirty(PLANNER, "plannersphone")
        answer = await _until(client, 403)
        assert answer.headers["Content-Type"] == "application/xml; charset=utf-8"
        error = ElementTree.fromstring(answer.content)  # noqa: S314  (the gateway's own)
        assert [each.tag for each in (error, error[0])] == ["{DAV:}error", "{DAV:}need-privileges"]
        assert "com.zhiliaoapp.musically" in (error[1].text or "")
        put = await client.put(f"{CALENDAR}refused.ics", content=EVENT.encode())
        assert put.status_code == 403
        assert (await client.request("OPTIONS", f"{HOME}/")).status_code == 200
        async with planner(opened_gateway.http, "wrong") as stranger:
            told = await stranger.request("PROPFIND", CALENDAR)
            assert (told.status_code, b"musically" in told.content) == (401, False)
        await agent.clean(PLANNER, "plannersphone")
        await _until(client, 207)
        assert (await client.get(f"{CALENDAR}refused.ics")).status_code == 404


async def _until(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """Ask until a report has had its effect."""
    async with asyncio.timeout(10):
        while True:
            answer = await client.request("PROPFIND", CALENDAR, headers={"Depth": "0"}, content=PROPERTIES.encode())
            if answer.status_code == status:
                return answer
            await asyncio.sleep(0.02)
