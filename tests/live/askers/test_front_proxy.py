"""nginx owns the name and sends the phones' paths to Gatepost, by the lines in docs/operating.md; all else goes to the
mail server itself."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.live.askers.servers import NGINX, NGINX_HTTP, missing
from tests.live.children import free_ports, start
from tests.support.raw_http import Client, eas, request
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer, mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "operating.md"
EXAMPLE = ROOT / "config" / "examples" / "nginx" / "gatepost-http.conf"
QUERY = eas("FolderSync", "bert", "BERTPHONE").partition("?")[2]


@dataclass(frozen=True, slots=True)
class Front:
    """nginx, with a server in the place of Gatepost and one behind its back."""

    url: str
    gatepost: MailboxServer
    mail_server: MailboxServer

    async def ask(self, path: str) -> tuple[int, int]:
        """How many more requests Gatepost has got, and how many the mail server by itself."""
        before = len(self.gatepost.received), len(self.mail_server.received)
        client = await Client.connected(self.url)
        await client.ask(request(f"{path}?{QUERY}", FOLDER_SYNC, user="bert"))
        client.close()
        return len(self.gatepost.received) - before[0], len(self.mail_server.received) - before[1]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def front(ground: Path) -> AsyncIterator[Front]:
    """By the lines as they stand there."""
    if reason := missing("nginx"):
        pytest.skip(reason)
    directory, (listen,) = ground / "front-proxy", free_ports(1)
    directory.mkdir()
    found = re.search(r"```nginx\n(if .*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert found is not None
    async with mailbox_server() as gatepost, mailbox_server() as mail_server:
        phones = found[1].replace("127.0.0.1:8080", f"127.0.0.1:{urlsplit(gatepost.url).port}")
        others = f"location / {{ proxy_pass http://127.0.0.1:{urlsplit(mail_server.url).port}; }}"
        (directory / "gatepost-http.conf").write_text(f"server {{ listen 127.0.0.1:{listen}; {phones} {others} }}")
        config = NGINX.format(directory=directory, modules="") + NGINX_HTTP.format(directory=directory)
        (directory / "nginx.conf").write_text(config)
        words = ("nginx", "-p", str(directory), "-c", str(directory / "nginx.conf"), "-g", "daemon off;")
        child = start("nginx", words, directory)
        child.until_port(listen)
        yield Front(f"http://127.0.0.1:{listen}", gatepost, mail_server)
        child.stop()


@pytest.mark.parametrize(
    "path",
    [
        *("/Microsoft-Server-ActiveSync", "/microsoft-server-activesync", "/%4dicrosoft-Server-ActiveSync"),
        *(
            "/Microsoft-Server-ActiveSync/",
            "/Microsoft-Server-ActiveSync/default.eas",
            "/Microsoft-Server-ActiveSync/x",
        ),
        *("//Microsoft-Server-ActiveSync", "/x/Microsoft-Server-ActiveSync"),
        *("/Microsoft-Server-ActiveSync%20", "/Microsoft-Server-ActiveSync.", "/Microsoft-Server-ActiveSync;x"),
        *("/Microsoft-Server-ActiveSync%5c", "/Autodiscover/Autodiscover.xml"),
    ],
)
async def test_what_a_mail_server_could_take_for_a_phones_path_comes_to_gatepost(front: Front, path: str) -> None:
    """Which knows the one place and no other; IIS has ActiveSync at all that begins with it."""
    assert await front.ask(path) == (1, 0)


@pytest.mark.parametrize(
    "path",
    [
        *("/owa/../Microsoft-Server-ActiveSync", "/owa/..%5cMicrosoft-Server-ActiveSync", "/owa/%2E./%4dicrosoft-x"),
        *(
            "/Microsoft-Server-ActiveSync/../x",
            "/Microsoft-Server-ActiveSync%2f..%2fx",
            "/Microsoft-Server-ActiveSync/..",
        ),
        *("/Microsoft-Server-ActiveSync/%2e%2E/x", "/x/#/../../Microsoft-Server-ActiveSync", "/%2e%2e%5cx"),
        *("/owa/..\\EWS/x", "/owa/x\\..\\..\\EWS/x", "/x\\..\\..\\y", "/..\\x", "/x\\.", "/x\\%2e%2e/y", "/x%5c..\\y"),
        # Servers in Java end a segment there.
        *("/owa/..;/EWS/x", "/owa/..%3bx/EWS/x", "/owa/.;/x"),
    ],
)
async def test_a_way_up_comes_to_nobody(front: Front, path: str) -> None:
    """It is tidied up to choose who gets it, and would be sent on as it came; Windows takes a backslash for a slash."""
    assert await front.ask(path) == (0, 0)


@pytest.mark.parametrize(
    "path",
    [
        *("/owa/", "/EWS/Exchange.asmx", "/", "/autodiscover/other", "/.well-known/caldav", "/a..b/c...", "/x?a=/../b"),
        *("/x\\y", "/x\\..y/..z", "/x?a=\\..\\b"),
    ],
)
async def test_what_is_not_the_phones_does_not(front: Front, path: str) -> None:
    assert await front.ask(path) == (0, 1)


async def test_the_example_has_the_same_line_against_ways_up() -> None:
    """Its other places are the operator's own, and are not there when it is tried."""
    lines = [line.strip() for line in EXAMPLE.read_text("utf-8").splitlines()]
    (against,) = (line for line in DOCS.read_text("utf-8").splitlines() if line.startswith("if ($request_uri ~* "))
    assert against in lines
