"""nginx (auth_request), Caddy, HAProxy, Traefik, Envoy before a mail server: what a phone sees, without Gatepost too.

Envoy asks over gRPC, and as ``envoy-http`` over HTTP.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.live.askers.by_curl import curl, statuses_by_curl
from tests.live.askers.from_wheels import until_served
from tests.live.askers.switch import Switch
from tests.live.askers.web_servers import NAMES, Asked, missing_web, start_web
from tests.live.children import free_ports
from tests.support import raw_http
from tests.support.asking import KEY, Asking
from tests.support.phone_certificates import Certificates
from tests.support.raw_http import Client, HttpAnswer, basic, eas
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import PING_CHANGES, MailboxServer, mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
GENERIC = b"Mail on this device is blocked by your organization. Ask your help desk."
ANNA = eas("FolderSync", "anna", "ANNAPHONE")
BERT = eas("FolderSync", "bert", "BERTPHONE")
BY_403 = ("envoy-http",)
"""It takes each 200 for "allowed", and so cannot tell a newer phone in its own words."""


def request(target: str, body: bytes = b"", **said: str) -> bytes:
    """One request to the host that they serve."""
    return raw_http.request(target, body, **{"Host": "localhost", **said})


@dataclass(frozen=True, slots=True)
class Web:
    """A web server as phones reach it."""

    port: int
    made: Certificates
    mailbox: MailboxServer
    name: str
    switches: tuple[Switch, ...]

    @property
    def url(self) -> str:
        """As phones know it."""
        return f"https://localhost:{self.port}"

    async def switch(self, how: str) -> None:
        """Gatepost is there (``on``), or nobody is (``off``), or somebody ``silent``."""
        for each in self.switches:
            await getattr(each, how)()

    async def ask(self, octets: bytes, method: str = "POST", seconds: float = 20.0) -> HttpAnswer:
        """One request on a connection of its own."""
        client = await Client.connected(self.url, tls=self.made.trust())
        try:
            client.write(octets)
            return await client.answer(method, seconds)
        finally:
            client.close()

    @property
    def refusal(self) -> int:
        """The status by which a newer phone is refused."""
        return 403 if self.name in BY_403 else 200

    @property
    def away(self) -> tuple[int, str]:
        """Status and Retry-After where Gatepost says nothing."""
        return 503, "" if self.name == "traefik" else "30"

    def reached(self) -> int:
        """How many requests have reached the mail server."""
        return len(self.mailbox.received)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mailbox() -> AsyncIterator[MailboxServer]:
    """The mail server behind them."""
    async with mailbox_server() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=NAMES)
async def web(
    request: pytest.FixtureRequest,
    ground: Path,
    http_switch: Switch,
    haproxy_switch: Switch,
    envoy_switch: Switch,
    mailbox: MailboxServer,
    made: Certificates,
) -> AsyncIterator[Web]:
    """Each of them in turn."""
    name = str(request.param)
    if reason := missing_web(name):
        pytest.skip(reason)
    (listen,) = free_ports(1)
    asked = Asked(http_switch.port, haproxy_switch.port, envoy_switch.port)
    mail = urlsplit(mailbox.url).port or 0
    child = start_web(name, ground / f"web-{name}", asked, listen=listen, mail=mail, made=made)
    switches = {"haproxy": (http_switch, haproxy_switch), "envoy": (envoy_switch,)}.get(name, (http_switch,))
    if name == "traefik":
        await until_served(listen, made)
    yield Web(listen, made, mailbox, name, switches)
    child.stop()


async def test_allowed(web: Web) -> None:
    before = web.reached()
    answer = await web.ask(request(ANNA, FOLDER_SYNC, user="anna"))
    assert answer.status == 200
    assert answer.body == b"mail for anna"
    assert web.reached() == before + 1
    assert web.mailbox.received[-1].body == FOLDER_SYNC
    assert web.mailbox.received[-1].header("X-Gatepost-Key") == ""


async def test_refused_in_the_phones_own_words(web: Web) -> None:
    before = web.reached()
    answer = await web.ask(request(BERT, FOLDER_SYNC, user="bert"))
    assert (answer.status, answer.header("Content-Type"), answer.body) == (
        web.refusal,
        "application/vnd.ms-sync.wbxml",
        BLOCKED,
    )
    older = await web.ask(request(BERT, FOLDER_SYNC, user="bert", MS_ASProtocolVersion="12.1"))
    assert (older.status, older.body) == (403, GENERIC)
    assert web.reached() == before


async def test_not_known_now_comes_back_later(web: Web, gatepost: Asking) -> None:
    before = web.reached()
    gatepost.evidence.unavailable = True
    answer = await web.ask(request(eas("Sync", "dora", "DORAPHONE"), user="dora"))
    assert (answer.status, answer.header("Retry-After")) == (503, "30")
    assert web.reached() == before


async def test_a_verdict_that_turns_counts_from_the_next_request_on(web: Web, gatepost: Asking) -> None:
    client = await Client.connected(web.url, tls=web.made.trust())
    asked = request(ANNA, FOLDER_SYNC, user="anna")
    assert (await client.ask(asked)).body == b"mail for anna"
    gatepost.dirty("anna@corp.example", "annaphone")
    assert (await client.ask(asked)).body == BLOCKED
    gatepost.clean("anna@corp.example", "annaphone")
    client.close()
    assert (await web.ask(asked)).body == b"mail for anna"


async def test_a_wrong_password_is_the_mail_servers_to_say(web: Web) -> None:
    wrong = await web.ask(request(ANNA, FOLDER_SYNC, Authorization=basic("anna", "wrong")))
    nobody = await web.ask(request(BERT, FOLDER_SYNC))
    assert (wrong.status, nobody.status) == (401, 401)
    assert wrong.header("WWW-Authenticate") == nobody.header("WWW-Authenticate") == 'Basic realm="mail"'


async def test_options_and_autodiscover_are_never_refused(web: Web) -> None:
    before = web.reached()
    options = request("/Microsoft-Server-ActiveSync", user="bert", method="OPTIONS", Content_Length="")
    assert (await web.ask(options, "OPTIONS")).status == 200
    await web.ask(request("/autodiscover/autodiscover.xml", b"<x/>", user="bert"))
    assert web.reached() == before + 2


WAYS_UP = (
    *("..%5c", "../", "%2e%2e/", "..%2f", ".%2e%5c", "%5c..%5c", "x/..%5c..%5c"),
    *("autodiscover.xml/..%5c..%5c", "autodiscover.xml;/../../", "autodiscover.json/v1.0/..%5c..%5c..%5c"),
    *("autodiscover.json/v1.0/a@b/..%5c..%5c..%5c..%5c", "..\\", "x\\..\\..\\", "autodiscover.xml\\..\\..\\"),
)
FRAGMENT = "autodiscover.xml#/../../"
"""Which curl would not send."""
WAYS_DOWN = (
    *(
        "/Microsoft-Server-ActiveSync/../",
        "/Microsoft-Server-ActiveSync%2f..%2f",
        "/Microsoft-Server-ActiveSync/%2e%2e/",
    ),
    *("/owa/..//", "/./"),
)


@pytest.mark.parametrize("up", [*WAYS_UP, FRAGMENT])
async def test_no_way_up_and_out_of_autodiscover(web: Web, up: str) -> None:
    """Unasked it must lead to Autodiscover and nowhere else; Windows takes a backslash for a slash."""
    before = web.reached()
    query = BERT.partition("?")[2]
    await web.ask(request(f"/autodiscover/{up}Microsoft-Server-ActiveSync?{query}", FOLDER_SYNC, user="bert"))
    assert web.reached() == before


@pytest.mark.parametrize("down", WAYS_DOWN)
async def test_no_other_place_on_the_way_to_autodiscover(web: Web, down: str) -> None:
    """What is let by unasked must not begin with ActiveSync's place: a mail server may go by the beginning."""
    before = web.reached()
    query = BERT.partition("?")[2]
    await web.ask(request(f"{down}autodiscover/autodiscover.xml?{query}", FOLDER_SYNC, user="bert"))
    passed = [each.target.partition("?")[0] for each in web.mailbox.received[before:]]
    assert set(passed) <= {"/autodiscover/autodiscover.xml"}


@pytest.mark.parametrize("to", ["h2c", "websocket"])
@pytest.mark.parametrize("path", ["/autodiscover/autodiscover.xml", ANNA])
async def test_no_tunnel_to_the_mail_server(web: Web, path: str, to: str) -> None:
    """Behind a 101 (RFC 9110 §7.8) nobody is asked any more, and many mail servers know HTTP/2 in the clear."""
    before = web.reached()
    said = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": to, "HTTP2_Settings": "AAMAAABkAAQAAP__"}
    if to == "websocket":
        said |= {"Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec_WebSocket_Version": "13"}
    await web.ask(request(path, b"" if path == ANNA else b"<x/>", user="anna", **said))
    passed = web.mailbox.received[before:]
    # Envoy takes no websocket for which no upgrade is configured.
    assert passed or (to == "websocket" and web.name.startswith("envoy"))
    assert [(each.header("Upgrade"), each.header("HTTP2-Settings")) for each in passed] == [("", "")] * len(passed)
    assert all("upgrade" not in each.header("Connection").lower() for each in passed)


@pytest.mark.parametrize(
    "path",
    [
        *("/Autodiscover/Autodiscover.xml", "/autodiscover/autodiscover.json/v1.0/bert@corp.example"),
        "/autodiscover/autodiscover.json/v1.0/bert%2Bx%40corp.example",
    ],
)
async def test_autodiscover_in_all_its_forms(web: Web, path: str) -> None:
    before = web.reached()
    await web.ask(request(path, b"<x/>", user="bert"))
    assert web.reached() == before + 1


async def test_what_a_client_says_in_the_askers_name_is_not_believed(web: Web) -> None:
    before = web.reached()
    forged = {
        name: value
        for prefix in ("X_Original_", "X_Forwarded_")
        for name, value in ((f"{prefix}URI", ANNA), (f"{prefix}Uri", ANNA), (f"{prefix}Method", "OPTIONS"))
        if not (prefix == "X_Original_" and name.endswith("Uri")) and not (prefix != "X_Original_" and "URI" in name)
    }
    answer = await web.ask(
        request(BERT, FOLDER_SYNC, user="bert", X_Gatepost_Key=KEY, X_Gatepost_User="anna", X_Client_IP="::1", **forged)
    )
    assert (answer.status, answer.body, web.reached()) == (web.refusal, BLOCKED, before)


SPELLINGS = (
    *("/%4dicrosoft-Server-ActiveSync", "//Microsoft-Server-ActiveSync", "/x/../Microsoft-Server-ActiveSync"),
    *("/Microsoft-Server-ActiveSyncX", "/Microsoft-Server-ActiveSync/", "/MICROSOFT-SERVER-ACTIVESYNC"),
    *("/x%2f..%2fMicrosoft-Server-ActiveSync", "/./Microsoft-Server-ActiveSync", "/%2fMicrosoft-Server-ActiveSync"),
)


@pytest.mark.parametrize("path", SPELLINGS)
async def test_another_spelling_is_no_way_round(web: Web, path: str) -> None:
    before = web.reached()
    answer = await web.ask(request(path + BERT[BERT.index("?") :], FOLDER_SYNC, user="bert"))
    assert answer.status in (308, 400, 403, 404) or answer.body == BLOCKED
    assert web.reached() == before


async def test_a_refusal_does_not_wait_for_an_upload(web: Web) -> None:
    before = web.reached()
    head = request(eas("SendMail", "bert", "BERTPHONE"), user="bert", Content_Length="5000000")
    client = await Client.connected(web.url, tls=web.made.trust())
    client.write(head + bytes(10_000))
    async with asyncio.timeout(5):
        answer = await client.answer()
    assert answer.status == web.refusal
    assert answer.header("Content-Type") == "application/vnd.ms-sync.wbxml"
    assert web.reached() == before
    client.close()


async def test_connections_to_us_are_kept(web: Web, gatepost: Asking) -> None:
    client = await Client.connected(web.url, tls=web.made.trust())
    for _ in range(5):
        await client.ask(request(ANNA, FOLDER_SYNC, user="anna"))
    front = gatepost.front_of({"haproxy": "haproxy", "envoy": "envoy"}.get(web.name, "http"))
    before = set(front.connections)
    for _ in range(30):
        assert (await client.ask(request(ANNA, FOLDER_SYNC, user="anna"))).status == 200
    assert before
    assert set(front.connections) <= before
    client.close()


async def test_nobody_is_let_in_while_gatepost_is_away(web: Web) -> None:
    before = web.reached()
    await web.switch("off")
    answer = await web.ask(request(ANNA, FOLDER_SYNC, user="anna"))
    assert (answer.status, answer.header("Retry-After")) == web.away
    assert web.reached() == before
    await web.switch("on")
    assert (await web.ask(request(ANNA, FOLDER_SYNC, user="anna"))).status == 200


async def test_nobody_is_let_in_while_gatepost_says_nothing(web: Web) -> None:
    before = web.reached()
    await web.switch("silent")
    begun = asyncio.get_running_loop().time()
    answer = await web.ask(request(ANNA, FOLDER_SYNC, user="anna"), seconds=45.0)
    assert (answer.status, answer.header("Retry-After")) == web.away
    # Five seconds (PATIENCE) or, Traefik's own, thirty, and room for a busy machine.
    assert asyncio.get_running_loop().time() - begun < (40 if web.name == "traefik" else 10)
    assert web.reached() == before
    await web.switch("on")


async def test_an_empty_login_is_the_mail_servers_to_refuse(web: Web, gatepost: Asking) -> None:
    """And no mistake of the asker's configuration, which anybody could have the operator told of."""
    answers = gatepost.metrics.families["gatepost_authz_answers_total"].values
    before = [each for each in answers.items() if each[0][1] == "misconfigured"]
    said = request(BERT, FOLDER_SYNC, user="bert")
    login = b"Authorization: " + basic("bert").encode()
    assert (await web.ask(said.replace(login, b"Authorization:"))).status == 401
    assert [each for each in answers.items() if each[0][1] == "misconfigured"] == before


async def test_two_logins_in_one_request_are_no_way_round(web: Web) -> None:
    """One of them is asked about, and the mail server may believe the other."""
    before = web.reached()
    one, other = basic("bert").encode(), basic("anna").encode()
    octets = request(BERT.replace("bert", "anna"), FOLDER_SYNC, user="bert")
    for first, second in ((one, other), (other, one)):
        twice = octets.replace(b"Authorization: " + one, b"Authorization: %b\r\nAuthorization: %b" % (first, second))
        answer = await web.ask(twice)
        assert answer.status >= 400 or answer.body == BLOCKED
        assert web.reached() == before


async def test_by_http2(web: Web) -> None:
    """nginx's example offers none."""
    offered = "HTTP/1.1" if web.name == "nginx" else "HTTP/2"
    before = web.reached()
    allowed = await curl(web.port, ANNA, web.made, user="anna", body=FOLDER_SYNC)
    assert (allowed.version, allowed.status, allowed.body) == (offered, 200, b"mail for anna")
    assert web.mailbox.received[-1].body == FOLDER_SYNC
    refused = await curl(web.port, BERT, web.made, user="bert", body=FOLDER_SYNC)
    assert (refused.version, refused.status, refused.body) == (offered, web.refusal, BLOCKED)
    assert refused.header("content-type") == "application/vnd.ms-sync.wbxml"
    older = await curl(web.port, BERT, web.made, user="bert", version="12.1")
    assert (older.status, older.body) == (403, GENERIC)
    assert web.reached() == before + 1


async def test_two_logins_and_crumbs_of_cookies_by_http2(web: Web) -> None:
    """RFC 9113 §8.2.3: a cookie may come in pieces; a login may not, and a cookie is none."""
    before = web.reached()
    crumbs = ("Cookie: one=1", "Cookie: two=2")
    allowed = await curl(web.port, ANNA, web.made, user="anna", headers=crumbs)
    assert (allowed.status, allowed.body) == (200, b"mail for anna")
    assert web.reached() == before + 1
    for first, second in (("anna", "bert"), ("bert", "anna")):
        logins = tuple(f"Authorization: {basic(user)}" for user in (first, second))
        answer = await curl(web.port, BERT.replace("bert", first), web.made, headers=logins)
        assert answer.status >= 400 or answer.body == BLOCKED
    assert (await curl(web.port, BERT, web.made, headers=crumbs)).status == 401
    assert web.reached() == before + 1


async def test_no_way_round_by_http2(web: Web) -> None:
    before = web.reached()
    query = BERT[BERT.index("?") :]
    spelled = (*(f"/autodiscover/{up}Microsoft-Server-ActiveSync" for up in WAYS_UP), *SPELLINGS)
    paths = [path + query for path in spelled]
    statuses = await statuses_by_curl(web.port, paths, web.made, user="bert")
    assert len(statuses) == len(paths)
    # Where it is tidied up before it is asked about, it is refused like any other.
    assert set(statuses) <= {308, 400, 403, 404, web.refusal}
    assert web.reached() == before


@pytest.mark.parametrize("by", ["length", "pieces", "http2"])
async def test_a_large_body_arrives_as_it_was_sent(web: Web, by: str) -> None:
    target, body = eas("SendMail", "anna", "ANNAPHONE"), os.urandom(2 << 20)
    if by == "length":
        answer = (await web.ask(request(target, body, user="anna"))).body
    else:
        headers = ("Transfer-Encoding: chunked",) if by == "pieces" else ()
        version = "--http1.1" if by == "pieces" else "--http2"
        answer = (await curl(web.port, target, web.made, user="anna", body=body, headers=headers, by=version)).body
    assert answer == b"mail for anna"
    assert web.mailbox.received[-1].body == body


async def test_a_ping_waits_on_whatever_becomes_of_the_verdict(web: Web, gatepost: Asking) -> None:
    """Nothing ends one request there (HAProxy: where Gatepost may not use its administrative interface)."""
    target = eas("Ping", "anna", "ANNAPHONE")
    pings = [
        asyncio.create_task(curl(web.port, target, web.made, user="anna", by=by)) for by in ("--http1.1", "--http2")
    ]
    await web.mailbox.until_parked(2)
    gatepost.dirty("anna@corp.example", "annaphone")
    assert (await web.ask(request(ANNA, FOLDER_SYNC, user="anna"))).body == BLOCKED
    assert web.mailbox.parked == 2
    web.mailbox.released.set()
    assert [each.body for each in await asyncio.gather(*pings)] == [PING_CHANGES] * 2
    web.mailbox.released.clear()
