"""XOAUTH2 and OAUTHBEARER at a mail server that checks tokens itself: its word first, the verdict after it."""

import asyncio
import base64
import json
import subprocess
from collections.abc import Callable

import imapclient
import pytest
from imapclient.exceptions import LoginError

from tests.live.mail.conftest import TEXT, Way
from tests.live.mail.visits import MAIL, clean, deliver, dirty
from tests.live.tokens import token
from tests.support.mail_fronted import Peer

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session")]

APP = b"com.zhiliaoapp.musically"
MECHANISMS = ("XOAUTH2", "OAUTHBEARER")


def response(mechanism: str, user: str, shown: str) -> bytes:
    """A client's one response, in base64."""
    if mechanism == "XOAUTH2":
        return base64.b64encode(f"user={user}\x01auth=Bearer {shown}\x01\x01".encode())
    return base64.b64encode(f"n,a={user},\x01host=localhost\x01port=993\x01auth=Bearer {shown}\x01\x01".encode())


async def asked(way: Way, mechanism: str, user: str, shown: str) -> tuple[Peer, bytes]:
    """What a login by IMAP is answered first."""
    peer = await way.imap()
    return peer, await peer.ask(b"a AUTHENTICATE %b %b\r\n" % (mechanism.encode(), response(mechanism, user, shown)))


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_good_token_is_judged_like_a_password(way: Way, mechanism: str) -> None:
    user = f"token{way.name}"
    await clean(way, user)
    peer, answer = await asked(way, mechanism, user, token(user))
    assert answer.startswith(b"a OK [CAPABILITY ")
    assert (await peer.ask(b"b STATUS INBOX (MESSAGES)\r\n")).startswith(b"* STATUS INBOX ")
    # Its log comes by a process of its own.
    way.dovecot.child.until_said(f"user=<{user}>, method={mechanism}, rip=127.0.0.1")
    await dirty(way, user)
    assert b"* BYE [ALERT] " in await peer.rest()
    peer, answer = await asked(way, mechanism, user, token(user))
    assert answer.startswith(b"* NO [ALERT] ")
    assert APP in answer
    assert TEXT.encode() in answer
    await clean(way, user)
    # On the same connection, at once.
    await peer.line()
    again = await peer.ask(b"c AUTHENTICATE %b %b\r\n" % (mechanism.encode(), response(mechanism, user, token(user))))
    assert again.startswith(b"c OK ")


BAD: dict[str, Callable[[str], str]] = {
    "forged": lambda user: token(user, key=b"another key"),
    "ended": lambda user: token(user, for_seconds=-60),
    "foreign": lambda user: token("readerclear"),
    "nonsense": lambda user: "nonsense",
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_is_the_mail_servers_to_refuse_and_learns_nothing(
    secured: Way, mechanism: str, kind: str
) -> None:
    """The explanation (RFC 7628 §3.2.2) reaches the client, by which it knows to fetch a new token."""
    # Each has a name of its own: of one name five wrong logins a minute are shown to the mail server.
    user = f"{kind}tls"
    await dirty(secured, user)
    peer, answer = await asked(secured, mechanism, user, BAD[kind](user))
    assert answer.startswith(b"+ ")
    explained = json.loads(base64.b64decode(answer[2:]))
    assert explained["status"] in ("invalid_token", "invalid_request", "401")
    said = await peer.ask(b"AQ==\r\n" if mechanism == "OAUTHBEARER" else b"\r\n")
    assert said.startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert APP not in said


async def test_libraries_and_programs_that_bring_tokens(secured: Way) -> None:
    """IMAPClient by both mechanisms; curl chooses, by IMAP and POP3."""
    user = "tokentls"
    await asyncio.to_thread(deliver, secured, user, MAIL)
    await clean(secured, user)

    def by_library() -> None:
        for name in ("oauth2_login", "oauthbearer_login"):
            with imapclient.IMAPClient(
                "127.0.0.1", secured.port("imap"), ssl_context=secured.trust, timeout=20
            ) as client:
                getattr(client, name)(user, token(user))
                client.select_folder("INBOX")

    await asyncio.to_thread(by_library)
    for protocol, path in (("imap", "INBOX;MAILINDEX=1"), ("pop3", "1")):
        done = await curl(secured, user, protocol, path)
        assert done.returncode == 0, done.stderr
        assert b"The minutes." in done.stdout
    await dirty(secured, user)
    with pytest.raises(LoginError, match=APP.decode()):
        await asyncio.to_thread(by_library)
    for protocol, path in (("imap", "INBOX;MAILINDEX=1"), ("pop3", "1")):
        done = await curl(secured, user, protocol, path)
        assert done.returncode == 67  # CURLE_LOGIN_DENIED
        assert done.stdout == b""


async def curl(way: Way, user: str, protocol: str, path: str) -> subprocess.CompletedProcess[bytes]:
    """Read the first mail with a token."""
    words = ["curl", "-sS", "--max-time", "20", "--cacert", str(way.dovecot.certificates.authority)]
    words += ["-u", f"{user}:", "--oauth2-bearer", token(user)]
    url = f"{protocol}s://127.0.0.1:{way.port(protocol)}/{path}"
    return await asyncio.to_thread(subprocess.run, [*words, url], capture_output=True, check=False, timeout=60)
