"""EWS, MAPI, OWA, DAV and JMAP through a gateway, octet by octet: closed, open, refused, cut."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.protocols.webmail.paths import Rule
from gateway.proxies.webmail import exchange as exchange_module
from gateway.proxies.webmail.exposure import VERDICT, WebmailSettings
from tests.support.fronted import TIKTOK, Fronted, fronted, until
from tests.support.raw_http import Client, HttpAnswer, request
from tests.support.scripted_origin import Origin, OriginConnection

CALENDAR = "/SOGo/dav/anna/Calendar/personal/"
MULTISTATUS = b'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"/>'
LOOPBACK = "127.0.0.0/8"
ASKED = {
    Rule.EWS: ("POST", "/EWS/Exchange.asmx"),
    Rule.MAPI: ("POST", "/mapi/emsmdb"),
    Rule.DAV: ("PROPFIND", CALENDAR),
    Rule.JMAP: ("POST", "/jmap/"),
}
JUDGED = list(ASKED)


@asynccontextmanager
async def opened(origin: Origin, *openings: str, trusted_proxies: tuple[str, ...] = ()) -> AsyncIterator[Fronted]:
    """A gateway at which every rule is open in this way; anna's phone is clean."""
    webmail = WebmailSettings(openings=dict.fromkeys(Rule, openings))
    async with fronted(origin.url, webmail=webmail, trusted_proxies=trusted_proxies) as gateway:
        gateway.proved("anna")
        gateway.clean("anna", "phone1")
        await gateway.known("anna")
        yield gateway


@pytest.fixture
async def judging(origin: Origin) -> AsyncIterator[Fronted]:
    async with opened(origin, VERDICT) as gateway:
        yield gateway


def asking(rule: Rule, user: str = "anna") -> bytes:
    method, path = ASKED[rule]
    return request(path, b"<x/>", method=method, user=user)


def propfind(user: str = "anna", path: str = CALENDAR, **headers: str) -> bytes:
    return request(path, b"<x/>", method="PROPFIND", user=user, Depth="1", **headers)


async def forwarded(gateway: Fronted, origin: Origin, octets: bytes) -> tuple[Client, OriginConnection]:
    client = await gateway.client()
    client.write(octets)
    connection = await origin.connection()
    await connection.request()
    return client, connection


async def answered(gateway: Fronted, octets: bytes) -> HttpAnswer:
    client = await gateway.client()
    return await client.ask(octets)


# --- what exists


@pytest.mark.parametrize("rule", JUDGED)
async def test_closed_by_default(scripted: Fronted, origin: Origin, rule: Rule) -> None:
    assert (await answered(scripted, asking(rule))).status == 404
    name = "/" + ASKED[rule][1].split("/")[1].lower()
    assert scripted.counted("gatepost_closed_path_total", name) == 1
    assert not origin.unaccepted


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/ecp/",
            "/powershell",
            "/rpc/rpcproxy.dll",
            "/api/v2.0/me/messages",
            "/SOGo/so/anna",
            "/SOGo/dav/../so/anna",
        ),
        *("/owa/..;/ecp/", "/owa/%2e%2e/ecp/", "/SOGo/dav//x", "/Microsoft-Server-ActiveSync/../SOGo/dav/anna/"),
        *("/Microsoft-Server-ActiveSync/SOGo/dav/", "/Microsoft-Server-ActiveSync%2f..%2fSOGo/dav/"),
    ],
)
async def test_never_open(origin: Origin, path: str) -> None:
    async with opened(origin, VERDICT, LOOPBACK) as gateway:
        assert (await answered(gateway, propfind(path=path))).status == 404
        assert not origin.unaccepted


async def test_dav_has_no_way_by_activesyncs_own_path(judging: Fronted, origin: Origin) -> None:
    octets = propfind(path="/Microsoft-Server-ActiveSync?Cmd=Sync&User=anna&DeviceId=phone1&DeviceType=x")
    assert (await answered(judging, octets)).status == 501
    assert not origin.unaccepted


async def test_another_network_finds_nothing(origin: Origin) -> None:
    async with opened(origin, "10.0.0.0/8") as gateway:
        assert (await answered(gateway, propfind())).status == 404


async def test_a_stranger_cannot_say_that_he_is_inside(origin: Origin) -> None:
    async with opened(origin, "10.0.0.0/8") as gateway:
        assert (await answered(gateway, propfind(X_Forwarded_For="10.1.2.3"))).status == 404


async def test_discovery_is_answered_here(judging: Fronted, origin: Origin) -> None:
    answer = await answered(judging, propfind(user="", path="/.well-known/caldav"))
    assert (answer.status, answer.header("Location")) == (301, "/SOGo/dav/")
    assert not origin.unaccepted


# --- what passes


async def test_a_request_passes_as_it_came(judging: Fronted, origin: Origin) -> None:
    client = await judging.client()
    client.write(propfind(path=CALENDAR + "Gr%C3%BC%C3%9Fe%20b.ics?x=%2F", If='("1")', Cookie="a=b", Accept="text/xml"))
    connection = await origin.connection()
    asked = await connection.request()
    assert asked.line == b"PROPFIND " + CALENDAR.encode() + b"Gr%C3%BC%C3%9Fe%20b.ics?x=%2F HTTP/1.1"
    assert (asked.header("Depth"), asked.header("If"), asked.header("Cookie")) == ("1", '("1")', "")
    assert (asked.header("X-Forwarded-For"), asked.body) == ("127.0.0.1", b"<x/>")
    await connection.answer(MULTISTATUS, "207 Multi-Status", "DAV: 1, 2", "ETag: x", "Server: y", "Set-Cookie: z=1")
    answer = await client.answer()
    assert (answer.status, answer.body, answer.header("DAV")) == (207, MULTISTATUS, "1, 2")
    assert (answer.header("ETag"), answer.header("Server"), answer.header("Set-Cookie")) == ("x", "", "")
    await until(lambda: judging.decision.sessions.count == 0)
    assert judging.ended("dav PROPFIND", "forwarded") == 1


async def test_a_put_in_chunks(judging: Fronted, origin: Origin) -> None:
    client = await judging.client()
    head = request(CALENDAR + "a.ics", method="PUT", user="anna", Content_Length="", Transfer_Encoding="chunked")
    client.write(head + b"5\r\nBEGIN\r\n")
    connection = await origin.connection()
    client.write(b"4\r\n:END\r\n0\r\n\r\n")
    assert (await connection.request()).body == b"BEGIN:END"
    await connection.answer(b"", "201 Created", "Location: http://mail.example/SOGo/dav/x")
    answer = await client.answer("PUT")
    assert (answer.status, answer.header("Location")) == (201, "/SOGo/dav/x")


async def test_a_head_tells_no_length_that_is_not_true(judging: Fronted, origin: Origin) -> None:
    client, connection = await forwarded(judging, origin, request(CALENDAR, method="HEAD", user="anna"))
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n")
    answer = await client.answer("HEAD")
    assert (answer.status, answer.header("Content-Length"), answer.closed) == (200, "", False)


async def test_a_network_passes_unjudged_and_with_its_cookies(origin: Origin) -> None:
    async with opened(origin, LOOPBACK) as gateway:
        gateway.dirty("anna", "phone1")
        client = await gateway.client()
        client.write(request("/owa/", method="GET", Cookie="cadata=1", X_OWA_CANARY="c"))
        connection = await origin.connection()
        asked = await connection.request()
        assert (asked.header("Cookie"), asked.header("X-OWA-CANARY")) == ("cadata=1", "c")
        assert gateway.decision.sessions.count == 0
        await connection.answer(b"<html>", "200 OK", "Set-Cookie: cadata=2")
        answer = await client.answer("GET")
        assert (answer.body, answer.header("Set-Cookie")) == (b"<html>", "cadata=2")


async def test_a_network_behind_a_trusted_proxy(origin: Origin) -> None:
    async with opened(origin, LOOPBACK, "10.0.0.0/8", trusted_proxies=("127.0.0.1",)) as gateway:
        assert (await answered(gateway, propfind())).status == 404
        assert (await answered(gateway, propfind(X_Forwarded_For="203.0.113.9"))).status == 404
        client, connection = await forwarded(gateway, origin, propfind(X_Forwarded_For="10.1.2.3"))
        await connection.answer(MULTISTATUS, "207 Multi-Status")
        assert (await client.answer()).status == 207


# --- who is asking


@pytest.mark.parametrize("status", ["200 OK", "207 Multi-Status", "302 Found", "403 Forbidden", "404 Not Found"])
async def test_without_credentials_nothing_passes_but_the_question(
    judging: Fronted, origin: Origin, status: str
) -> None:
    client, connection = await forwarded(judging, origin, propfind(user=""))
    await connection.answer(b"public", status)
    answer = await client.answer()
    assert (answer.status, answer.body) == (401, b"")
    assert answer.header("WWW-Authenticate").startswith("Basic ")


async def test_the_mail_servers_question_passes_without_what_is_bound_to_a_connection(
    judging: Fronted, origin: Origin
) -> None:
    client, connection = await forwarded(judging, origin, request("/EWS/Exchange.asmx"))
    await connection.answer(b"", "401 Unauthorized", "WWW-Authenticate: Negotiate", 'WWW-Authenticate: Basic realm="x"')
    answer = await client.answer()
    assert [value for name, value in answer.headers if name == "www-authenticate"] == ['Basic realm="x"']


@pytest.mark.parametrize("opening", [VERDICT, LOOPBACK])
async def test_ntlm_never_reaches_the_pool(origin: Origin, opening: str) -> None:
    async with opened(origin, opening) as gateway:
        answer = await answered(gateway, request("/mapi/emsmdb", Authorization="NTLM TlRMTVNTUAABAAAA"))
        assert (answer.status, answer.header("WWW-Authenticate")[:5]) == (401, "Basic")
        assert not origin.unaccepted


async def test_success_is_no_proof_of_a_password(judging: Fronted, origin: Origin) -> None:
    """Calendars may be public: whoever reads one with a wrong password must not be told of the owner's phone."""
    wrong = propfind(Authorization="Basic YW5uYTp3cm9uZw==")
    client, connection = await forwarded(judging, origin, wrong)
    await connection.answer(MULTISTATUS, "207 Multi-Status")
    assert (await client.answer()).status == 207
    judging.dirty("anna", "phone1")
    await judging.known("anna")
    client.write(wrong)
    await connection.request()
    assert (await told_by(client, connection)).status == 401


# --- who is refused


async def refused(gateway: Fronted, rule: Rule) -> HttpAnswer:
    gateway.dirty("anna", "phone1")
    return await answered(gateway, asking(rule))


async def test_dav_is_refused_by_an_error(judging: Fronted, origin: Origin) -> None:
    answer = await refused(judging, Rule.DAV)
    assert (answer.status, answer.header("Content-Type")) == (403, "application/xml; charset=utf-8")
    assert b"<D:need-privileges/>" in answer.body
    assert b"com.zhiliaoapp.musically" in answer.body
    assert judging.ended("dav PROPFIND", "refused") == 1
    assert not origin.unaccepted


async def test_jmap_is_refused_by_a_problem(judging: Fronted, origin: Origin) -> None:
    answer = await refused(judging, Rule.JMAP)
    assert (answer.status, answer.header("Content-Type")) == (403, "application/problem+json")
    assert "com.zhiliaoapp.musically" in json.loads(answer.body)["detail"]
    assert not origin.unaccepted


@pytest.mark.parametrize("rule", [Rule.EWS, Rule.MAPI])
async def test_exchanges_own_are_refused_in_plain_words(judging: Fronted, origin: Origin, rule: Rule) -> None:
    answer = await refused(judging, rule)
    assert (answer.status, answer.header("Content-Type")) == (403, "text/plain; charset=utf-8")
    assert not origin.unaccepted


async def test_one_bad_phone_of_several_is_enough(judging: Fronted) -> None:
    judging.clean("anna", "phone2")
    judging.dirty("anna", "phone1")
    assert (await answered(judging, propfind())).status == 403


async def test_what_a_server_can_do_is_told_to_the_refused_too(judging: Fronted, origin: Origin) -> None:
    judging.dirty("anna", "phone1")
    client, connection = await forwarded(judging, origin, request(CALENDAR, method="OPTIONS", user="anna"))
    await connection.answer(b"", "200 OK", "DAV: 1", "Allow: PROPFIND")
    answer = await client.answer("OPTIONS")
    assert (answer.status, answer.header("DAV")) == (200, "1")


@pytest.mark.parametrize("rule", JUDGED)
async def test_a_stranger_is_told_nothing(judging: Fronted, origin: Origin, rule: Rule) -> None:
    judging.dirty("bert", "phone1")
    await judging.known("bert")
    client, connection = await forwarded(judging, origin, asking(rule, "bert"))
    answer = await told_by(client, connection)
    assert answer.status == 401
    assert b"musically" not in answer.body


async def told_by(client: Client, connection: OriginConnection) -> HttpAnswer:
    """The answer to whose credentials the mail server rejects: those of our own first, by which it is tried out."""
    await connection.answer(b"", "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"')
    await connection.request()
    await connection.answer(b"", "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"')
    return await client.answer()


async def test_what_cannot_be_known_is_put_off(judging: Fronted) -> None:
    judging.evidence.unavailable = True
    answer = await answered(judging, propfind("carl"))
    assert (answer.status, answer.header("Retry-After")) == (503, "30")


# --- a verdict that turns


@pytest.mark.parametrize("rule", JUDGED)
async def test_while_the_mail_server_works(judging: Fronted, origin: Origin, rule: Rule) -> None:
    client, connection = await forwarded(judging, origin, asking(rule))
    judging.dirty("anna", "phone1")
    assert (await client.answer()).status == 403
    await connection.until_ended()


async def test_within_an_answer(judging: Fronted, origin: Origin) -> None:
    client, connection = await forwarded(judging, origin, propfind())
    await connection.send(b"HTTP/1.1 207 Multi-Status\r\nContent-Length: 100\r\n\r\n<D:multi")
    await until(lambda: judging.front.status()["responding"] == 1)
    judging.dirty("anna", "phone1")
    answer = await client.answer()
    assert (answer.closed, answer.body) in ((True, b"<D:multi"), (True, b""))
    await connection.until_ended()
    assert judging.ended("dav PROPFIND", "cut_short") == 1


async def test_at_the_head_of_the_answer(judging: Fronted, origin: Origin) -> None:
    """Nobody told the session: the record was changed and forgotten, and the answer is judged as it comes."""
    client, connection = await forwarded(judging, origin, propfind())
    judging.evidence.put("anna", "phone1", TIKTOK)
    judging.cache.entries.clear()
    judging.cache._ring.clear()
    await connection.answer(MULTISTATUS, "207 Multi-Status")
    answer = await client.answer()
    assert answer.status == 403
    assert b"multistatus" not in answer.body


async def test_what_is_done_is_told(judging: Fronted, origin: Origin) -> None:
    octets = request(CALENDAR + "a.ics", b"BEGIN:VCALENDAR", method="PUT", user="anna")
    client, connection = await forwarded(judging, origin, octets)
    judging.dirty("anna", "phone1")
    await connection.answer(b"", "201 Created", "ETag: 1")
    answer = await client.answer("PUT")
    assert (answer.status, answer.header("ETag")) == (201, "1")
    assert (await client.ask(propfind())).status == 403


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
LISTENING = request("/jmap/eventsource/?types=*&closeafter=no&ping=300", method="GET", user="anna")


async def listening(gateway: Fronted, origin: Origin) -> tuple[Client, OriginConnection]:
    """A client whose EventSource has begun and is silent."""
    client, connection = await forwarded(gateway, origin, LISTENING)
    await connection.send(EVENTS)
    await until(lambda: gateway.front.status()["responding"] == 1)
    return client, connection


async def test_an_event_stream_begins_at_once_and_is_cut(judging: Fronted, origin: Origin) -> None:
    client, connection = await listening(judging, origin)
    await connection.send(b"f\r\ndata: changed\r\n\r\n\r\n")
    judging.dirty("anna", "phone1")
    answer = await client.answer("GET")
    assert (answer.status, answer.header("Content-Type")) == (200, "text/event-stream; charset=utf-8")
    assert answer.closed
    await connection.until_ended()


async def test_an_event_stream_may_be_silent_for_as_long_as_a_phone(judging: Fronted, origin: Origin) -> None:
    _, connection = await listening(judging, origin)
    judging.clock.ahead = judging.front.settings.parked_seconds - 5
    judging.front.sweep()
    assert not connection.ended
    judging.clock.ahead += 10
    judging.front.sweep()
    await connection.until_ended()


async def test_an_event_stream_whose_verdict_ends_by_itself(judging: Fronted, origin: Origin) -> None:
    judging.dirty("anna", "phone1")
    await judging.ban_from(judging.now() + 0.3)
    client, connection = await listening(judging, origin)
    assert (await client.answer("GET")).closed
    await connection.until_ended()


async def test_an_event_stream_and_a_ban_that_is_to_begin_later(
    judging: Fronted, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edit turns no verdict, so nobody is told of it; its moment was not known when the stream began."""
    monkeypatch.setattr(exchange_module, "STREAM_JUDGED_EVERY_SECONDS", 0.05)
    await judging.ban()
    judging.dirty("anna", "phone1")
    client, connection = await listening(judging, origin)
    await judging.ban_from(judging.now() + 0.2)
    assert (await client.answer("GET")).closed
    await connection.until_ended()


async def test_an_event_stream_when_the_gateway_stops(judging: Fronted, origin: Origin) -> None:
    client, _ = await listening(judging, origin)
    await judging.front.drain(5.0)
    assert (await client.answer("GET")).closed
    assert judging.ended("jmap GET", "drained") == 1


# --- a mail server without ActiveSync


async def asked_about(connection: OriginConnection) -> list[bytes]:
    """Answer 404 to what ActiveSync has, 401 to the first other question; the lines of all up to the next one."""
    lines = []
    while True:
        line = (await connection.request()).line
        lines.append(line)
        if lines.count(line) == 2:
            return lines
        status = "404 Not Found" if b"ActiveSync" in line else "401 Unauthorized"
        await connection.answer(b"", status)


async def test_a_server_without_activesync_is_asked_by_dav(judging: Fronted, origin: Origin) -> None:
    judging.dirty("bert", "phone1")
    client = await judging.client()
    client.write(propfind("bert"))
    connection = await origin.connection()
    assert (await asked_about(connection))[-2:] == [b"PROPFIND /SOGo/dav/ HTTP/1.1"] * 2
    await connection.answer(MULTISTATUS, "207 Multi-Status")
    assert (await client.answer()).status == 403


async def test_what_is_closed_is_not_asked_either(origin: Origin) -> None:
    webmail = WebmailSettings(openings={Rule.DAV: (LOOPBACK,), Rule.JMAP: (VERDICT,)})
    async with fronted(origin.url, webmail=webmail) as gateway:
        gateway.dirty("bert", "phone1")
        client = await gateway.client()
        client.write(asking(Rule.JMAP, "bert"))
        connection = await origin.connection()
        lines = await asked_about(connection)
        assert [line for line in lines if b"ActiveSync" not in line] == [b"GET /jmap/session HTTP/1.1"] * 2
        await connection.answer(b"{}")
        assert (await client.answer()).status == 403


async def test_an_event_stream_that_was_taken_slowly_once_may_be_silent_as_long(origin: Origin) -> None:
    async with opened(origin, VERDICT) as gateway:
        client, connection = await listening(gateway, origin)
        (behind,) = gateway.front._connections
        behind.pause_writing()
        behind.resume_writing()
        gateway.clock.ahead += gateway.front.settings.parked_seconds - 5
        gateway.front.sweep()
        await connection.send(b"f\r\ndata: changed\r\n\r\n\r\n")
        await until(lambda: gateway.front.status()["responding"] == 1)
        assert not connection.ended
        assert not client.closed
