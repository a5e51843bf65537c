"""Mail programs and libraries that fetch, through a whole gateway: mail, a refusal, and mail again at once.

What was said octet for octet is in ``test_wire.py``; imaplib, poplib and curl are in ``test_dovecot.py``.
"""

import asyncio
import time
from pathlib import Path

import aioimaplib
import imapclient
import pytest
from imapclient.exceptions import LoginError

from tests.live.mail.conftest import TEXT, Way, Ways
from tests.live.mail.programs import Fetchmail, Mbsync
from tests.live.mail.visits import MAIL, clean, deliver, dirty
from tests.live.mail_servers import PASSWORD

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session")]

APP = "com.zhiliaoapp.musically"
AT_ONCE_SECONDS = 2.0
WITHIN_SECONDS = 20.0


async def test_mbsync(way: Way, tmp_path: Path) -> None:
    """It sends its user name as the authorization identity, too (libsasl)."""
    user = f"mbsync{way.name}"
    program = Mbsync(way, tmp_path, user)
    await asyncio.to_thread(deliver, way, user, MAIL)
    await clean(way, user)
    done = await asyncio.to_thread(program.run)
    assert done.code == 0, done.said
    assert [b"The minutes." in each for each in program.mails] == [True]
    await dirty(way, user)
    await asyncio.to_thread(deliver, way, user, MAIL)
    done = await asyncio.to_thread(program.run)
    assert done.code != 0
    assert APP in done.said
    assert TEXT in done.said
    assert len(program.mails) == 1
    await clean(way, user)
    done = await asyncio.to_thread(program.run)
    assert done.code == 0, done.said
    assert len(program.mails) == 2


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_fetchmail(way: Way, protocol: str, tmp_path: Path) -> None:
    user = f"fetchmail{way.name}"
    program = Fetchmail(way, tmp_path, user, protocol)
    await asyncio.to_thread(deliver, way, user, MAIL)
    await clean(way, user)
    done = await asyncio.to_thread(program.run)
    assert done.code == 0, done.said
    before = program.fetched
    assert b"The minutes." in before
    await dirty(way, user)
    done = await asyncio.to_thread(program.run)
    # It finds a "lock" in "blocked" by POP3; it says the words themselves, and comes again.
    assert done.code == {"imap": 3, "pop3": 9}[protocol], done.said
    assert APP in done.said
    assert TEXT in done.said
    assert program.fetched == before
    await clean(way, user)
    done = await asyncio.to_thread(program.run)
    assert done.code == 0, done.said
    assert len(program.fetched) > len(before)


def imap_client(way: Way) -> imapclient.IMAPClient:
    """Connected, within TLS if this is a way with TLS."""
    client = imapclient.IMAPClient(
        "127.0.0.1",
        way.port("imap"),
        ssl=way.name == "tls",
        ssl_context=way.trust if way.name == "tls" else None,
        timeout=WITHIN_SECONDS,
    )
    if way.name == "starttls":
        client.starttls(way.trust)
    return client


async def test_imapclient(way: Way) -> None:
    user = f"imapclient{way.name}"
    await clean(way, user)
    client = await asyncio.to_thread(imap_client, way)

    def work() -> None:
        client.login(user, PASSWORD)
        client.select_folder("INBOX")
        client.append("INBOX", MAIL, flags=["\\Flagged"])
        (uid,) = client.search(["SUBJECT", "Minutes"])
        found = client.fetch([uid], ["ENVELOPE", "FLAGS", "BODY[]"])[uid]
        assert found[b"BODY[]"] == MAIL
        assert b"\\Flagged" in found[b"FLAGS"]
        client.create_folder("Done")
        client.copy([uid], "Done")
        client.add_flags([uid], ["\\Deleted"])
        client.expunge()
        assert client.search() == []
        client.idle()

    await asyncio.to_thread(work)
    await asyncio.to_thread(deliver, way, user, MAIL)
    told = await asyncio.to_thread(client.idle_check, WITHIN_SECONDS)
    assert (1, b"EXISTS") in told
    began = time.monotonic()
    await dirty(way, user)
    said = await asyncio.to_thread(until_bye, client)
    assert time.monotonic() - began < AT_ONCE_SECONDS
    assert TEXT.encode() in said
    client.shutdown()
    client = await asyncio.to_thread(imap_client, way)
    with pytest.raises(LoginError, match=APP):
        await asyncio.to_thread(client.login, user, PASSWORD)
    # On the same connection, without coming anew.
    await clean(way, user)
    await asyncio.to_thread(client.login, user, PASSWORD)
    await asyncio.to_thread(client.logout)


def until_bye(client: imapclient.IMAPClient) -> bytes:
    """The text of the BYE that ends an IDLE."""
    until = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < until:
        for response in client.idle_check(WITHIN_SECONDS):
            if response[0] == b"BYE":
                return b" ".join(part if isinstance(part, bytes) else repr(part).encode() for part in response[1:])
    raise AssertionError("no BYE")


@pytest.mark.parametrize("name", ["clear", "tls"])
async def test_aioimaplib(ways: Ways, name: str) -> None:
    """It knows no STARTTLS."""
    way = await ways.by(name)
    user = f"aioimaplib{way.name}"
    await clean(way, user)
    client = await aio_client(way)
    assert (await client.login(user, PASSWORD)).result == "OK"
    assert (await client.select()).result == "OK"
    assert (await client.append(MAIL)).result == "OK"
    fetched = await client.fetch("1", "(RFC822)")
    assert bytes(fetched.lines[1]) == MAIL
    idle = await client.idle_start(WITHIN_SECONDS)
    await asyncio.to_thread(deliver, way, user, MAIL)
    told: list[bytes] = []
    async with asyncio.timeout(WITHIN_SECONDS):
        while not any(b"2 EXISTS" in line for line in told):
            told += await client.wait_server_push()
        await dirty(way, user)
        while not any(line.startswith(b"BYE [ALERT]") for line in told):
            told += await client.wait_server_push()
    idle.cancel()
    client = await aio_client(way)
    refused = await client.login(user, PASSWORD)
    assert refused.result == "NO"
    assert APP.encode() in b"".join(refused.lines)
    await clean(way, user)
    assert (await client.login(user, PASSWORD)).result == "OK"
    assert (await client.logout()).result == "OK"


async def aio_client(way: Way) -> aioimaplib.IMAP4:
    """Greeted."""
    port = way.port("imap")
    if way.name == "tls":
        client: aioimaplib.IMAP4 = aioimaplib.IMAP4_SSL(
            "127.0.0.1", port, ssl_context=way.trust, timeout=WITHIN_SECONDS
        )
    else:
        client = aioimaplib.IMAP4("127.0.0.1", port, timeout=WITHIN_SECONDS)
    await client.wait_hello_from_server()
    return client
