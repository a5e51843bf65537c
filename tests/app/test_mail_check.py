"""What ``gatepost check`` finds out about the mail servers behind IMAP and POP3."""

import asyncio
from collections.abc import Coroutine

import pytest

from gateway.app.mail_check import mail_sections, mail_server_found
from gateway.settings import Settings
from tests.network.authority import Authority
from tests.support.mail_fronted import scripted_server

Found = tuple[str, str, str]


def check(protocol: str, upstream: str, **more: object) -> Coroutine[None, None, Found]:
    settings = Settings.model_validate(
        {protocol: {"listen": f"{protocol}s://127.0.0.1:1", "upstream": upstream, **more}}
    )
    spoken, told = next(each for each in mail_sections(settings) if each[0].protocol.value == protocol)
    return mail_server_found(spoken, told)


async def test_imap() -> None:
    async with scripted_server() as server:
        checking = asyncio.create_task(check("imap", f"imap://127.0.0.1:{server.port}"))
        peer = await server.accepted()
        peer.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2] ready\r\n")
        assert await peer.line() == b"g LOGOUT\r\n"
        assert await checking == (
            *(f"mail server 127.0.0.1:{server.port}", "ok"),
            "answers; clients may log in by PLAIN, LOGIN, XOAUTH2",
        )


async def test_pop3() -> None:
    async with scripted_server() as server:
        checking = asyncio.create_task(check("pop3", f"pop3://127.0.0.1:{server.port}"))
        peer = await server.accepted()
        peer.send(b"+OK ready\r\n")
        assert await peer.line() == b"CAPA\r\n"
        peer.send(b"+OK\r\nUSER\r\n.\r\n")
        assert (await checking)[1:] == ("ok", "answers; clients may log in by PLAIN, LOGIN")


@pytest.mark.parametrize(
    ("greeting", "sentence"),
    [
        (b"* BYE busy\r\n", "bye: is that its address, does it run, may this machine reach it?"),
        (b"* PREAUTH in\r\n", "preauth: is that its address"),
        (b"220 mail ESMTP\r\n", "no_greeting: is that its address"),
        (
            b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=GSSAPI] ready\r\n",
            "takes no login that can be proved there: allow PLAIN",
        ),
    ],
)
async def test_one_that_is_no_use(greeting: bytes, sentence: str) -> None:
    async with scripted_server() as server:
        checking = asyncio.create_task(check("imap", f"imap://127.0.0.1:{server.port}"))
        (await server.accepted()).send(greeting)
        _, state, found = await checking
    assert state == "failed"
    assert found.startswith(f"[imap] upstream imap://127.0.0.1:{server.port}")
    assert sentence in found


async def test_one_whose_certificate_is_not_trusted(authority: Authority) -> None:
    async with scripted_server(authority.issue().server()) as server:
        _, state, found = await check("imap", f"imaps://127.0.0.1:{server.port}")
    assert state == "failed"
    assert found.endswith("name its issuer's certificate in [imap] upstream_ca")


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom nobody trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))
