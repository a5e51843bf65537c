"""nginx (auth_request), Caddy and HAProxy before a mail server: what a phone sees, also while Gatepost is away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.live.askers.servers import missing, start_caddy, start_haproxy, start_nginx_http
from tests.live.askers.switch import Switch
from tests.live.children import free_ports
from tests.support import raw_http
from tests.support.asking import KEY, Asking
from tests.support.phone_certificates import Certificates
from tests.support.raw_http import Client, HttpAnswer, basic, eas
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer, mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
GENERIC = b"Mail on this device is blocked by your organization. Ask your help desk."
ANNA = eas("FolderSync", "anna", "ANNAPHONE")
BERT = eas("FolderSync", "bert", "BERTPHONE")


def request(target: str, body: bytes = b"", **said: str) -> bytes:
    """One request to the host that they serve."""
    return raw_http.request(target, body, **{"Host": "localhost", **said})


@dataclass(frozen=True, slots=True)
class Web:
    """A web server as phones reach it."""

    url: str
    made: Certificates
    mailbox: MailboxServer
    name: str
    switches: tuple[Switch, ...]

    async def switch(self, how: str) -> None:
        """Gatepost is there (``on``), or nobody is (``off``), or somebody ``silent``."""
        for each in self.switches:
            await getattr(each, how)()
        if how == "on" and self.name == "haproxy":
            await self._until_found()

    async def _until_found(self) -> None:
        """HAProxy looks every two seconds whether whom it asks is there again."""
        async with asyncio.timeout(20):
            while (await self.ask(request(ANNA, FOLDER_SYNC, user="anna"))).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def ask(self, octets: bytes, method: str = "POST") -> HttpAnswer:
        """One request on a connection of its own."""
        client = await Client.connected(self.url, tls=self.made.trust())
        try:
            return await client.ask(octets, method)
        finally:
            client.close()

    def reached(self) -> int:
        """How many requests have reached the mail server."""
        return len(self.mailbox.received)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mailbox() -> AsyncIterator[MailboxServer]:
    """The mail server behind them."""
    async with mailbox_server() as server:
        yield server


@pytest.fixture(scope="module", params=["nginx", "caddy", "haproxy"])
def web(
    request: pytest.FixtureRequest,
    ground: Path,
    http_switch: Switch,
    haproxy_switch: Switch,
    mailbox: MailboxServer,
    made: Certificates,
) -> Iterator[Web]:
    """Each of them in turn."""
    name = str(request.param)
    if reason := missing(name):
        pytest.skip(reason)
    (listen,) = free_ports(1)
    common: dict[str, Any] = {"listen": listen, "gatepost": http_switch.port, "mail": urlsplit(mailbox.url).port or 0}
    directory = ground / f"web-{name}"
    switches: tuple[Switch, ...] = (http_switch,)
    if name == "haproxy":
        switches = (http_switch, haproxy_switch)
        child = start_haproxy(directory, spop=haproxy_switch.port, made=made, **common)
    else:
        begin = start_nginx_http if name == "nginx" else start_caddy
        child = begin(directory, made=made, **common)
    yield Web(f"https://localhost:{listen}", made, mailbox, name, switches)
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
        200,
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
    "autodiscover.json/v1.0/a@b/..%5c..%5c..%5c..%5c",
)


@pytest.mark.parametrize("up", WAYS_UP)
async def test_no_way_up_and_out_of_autodiscover(web: Web, up: str) -> None:
    """Unasked it must lead to Autodiscover and nowhere else; Windows takes %5c for a slash."""
    before = web.reached()
    query = BERT.partition("?")[2]
    await web.ask(request(f"/autodiscover/{up}Microsoft-Server-ActiveSync?{query}", FOLDER_SYNC, user="bert"))
    assert web.reached() == before


@pytest.mark.parametrize(
    "path", ["/Autodiscover/Autodiscover.xml", "/autodiscover/autodiscover.json/v1.0/bert@corp.example"]
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
    assert (answer.status, answer.body, web.reached()) == (200, BLOCKED, before)


@pytest.mark.parametrize(
    "path",
    [
        "/%4dicrosoft-Server-ActiveSync",
        "//Microsoft-Server-ActiveSync",
        "/x/../Microsoft-Server-ActiveSync",
        "/Microsoft-Server-ActiveSyncX",
        "/Microsoft-Server-ActiveSync/",
        "/MICROSOFT-SERVER-ACTIVESYNC",
    ],
)
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
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/vnd.ms-sync.wbxml"
    assert web.reached() == before
    client.close()


async def test_connections_to_us_are_kept(web: Web, gatepost: Asking) -> None:
    client = await Client.connected(web.url, tls=web.made.trust())
    for _ in range(5):
        await client.ask(request(ANNA, FOLDER_SYNC, user="anna"))
    front = gatepost.haproxy_front if web.name == "haproxy" else gatepost.front
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
    assert (answer.status, answer.header("Retry-After")) == (503, "30")
    assert web.reached() == before
    await web.switch("on")
    assert (await web.ask(request(ANNA, FOLDER_SYNC, user="anna"))).status == 200


async def test_nobody_is_let_in_while_gatepost_says_nothing(web: Web) -> None:
    before = web.reached()
    await web.switch("silent")
    begun = asyncio.get_running_loop().time()
    answer = await web.ask(request(ANNA, FOLDER_SYNC, user="anna"))
    assert (answer.status, answer.header("Retry-After")) == (503, "30")
    # The example's two seconds, and room for a busy machine.
    assert asyncio.get_running_loop().time() - begun < 10
    assert web.reached() == before
    await web.switch("on")


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
