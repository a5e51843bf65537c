"""``gatepost check`` tries the way that notices go, sends nothing, and says what to do where it cannot be used."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.app.checks import check
from gateway.app.notice_check import notice_way_found, notice_ways_found
from gateway.settings import Settings
from tests.network.authority import Authority
from tests.notices.ews_server import ews_server
from tests.notices.imap_mailbox import imap_mailbox
from tests.notices.secured import secured_server

OTHER = "[notices] server "


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings(authority: Authority, server: str, **more: Any) -> Settings:
    told = {"sender": "notices@corp.example", "server": server, "server_ca": str(authority.certificate)}
    return Settings.model_validate({"notices": {**told, "username": "gatepost", "password": "secret", **more}})


async def test_a_mail_server_that_takes_them(authority: Authority) -> None:
    async with secured_server(authority.issue().server()) as server:
        found = await notice_way_found(settings(authority, f"smtp+starttls://localhost:{server.port}"))
        said = f"localhost:{server.port} answers with STARTTLS, the login as gatepost is accepted"
        assert found == (f"notices localhost:{server.port}", "ok", said)
        assert not server.mailboxes


async def test_mail_servers_that_do_not(authority: Authority, tmp_path: Path) -> None:
    async with secured_server(authority.issue().server()) as server:
        where = f"smtp+starttls://localhost:{server.port}"
        wrong = await notice_way_found(settings(authority, where, password="wrong-one"))
        (tmp_path / "other").mkdir()
        other = await notice_way_found(
            settings(authority, where, server_ca=str(Authority(tmp_path / "other").certificate))
        )
    gone = await notice_way_found(settings(authority, where))
    assert [each[1] for each in (wrong, other, gone)] == ["failed"] * 3
    assert "the login as gatepost was refused: 535" in wrong[2]
    assert "wrong-one" not in wrong[2]
    assert other[2].endswith("name its authority in [notices] server_ca, or its name in server")
    assert gone[2].startswith(OTHER)
    assert "Error connecting to localhost" in gone[2]


async def test_an_exchange_that_takes_them(authority: Authority) -> None:
    async with ews_server(authority.issue().server(), password="secret") as ews:
        found = await notice_way_found(settings(authority, f"ews+{ews.url}"))
        assert found[1:] == ("ok", f"{ews.url} answers, notices@corp.example has Sent Items")
        assert ews.operations() == ["GetFolder"]


async def test_exchanges_that_do_not(authority: Authority, tmp_path: Path) -> None:
    async with ews_server(authority.issue().server(), password="secret") as ews:
        where = f"ews+{ews.url}"
        wrong = await notice_way_found(settings(authority, where, password="wrong-one"))
        (tmp_path / "other").mkdir()
        other = await notice_way_found(
            settings(authority, where, server_ca=str(Authority(tmp_path / "other").certificate))
        )
    async with ews_server(authority.issue().server(), token_status=401) as ews:
        oauth = {"login": "oauth", "token_url": ews.token_url}
        token = await notice_way_found(settings(authority, f"ews+{ews.url}", **oauth))
    gone = await notice_way_found(settings(authority, where))
    assert [each[1] for each in (wrong, other, token, gone)] == ["failed"] * 4
    assert wrong[2].endswith(
        "the login as gatepost by basic is refused (HTTP 401): correct [notices] username, password and login"
    )
    assert "wrong-one" not in wrong[2]
    assert other[2].endswith("name its authority in [notices] server_ca, or its name in server")
    assert "no token for the client gatepost: HTTP 401" in token[2]
    assert "no answer: Connection refused: is that its address" in gone[2]


async def test_a_row_of_check_only_where_notices_are_sent(authority: Authority, tmp_path: Path) -> None:
    nowhere: dict[str, list[str]] = {"listen": []}
    bare = {"gateway": {"data_dir": str(tmp_path)}, "http": nowhere, "admin": nowhere, "inventory": nowhere}
    told = {"sender": "notices@corp.example", "server": "smtp://127.0.0.1:1"}
    for notices, rows in ((told, 1), ({}, 0)):
        found = await asyncio.to_thread(check, Settings.model_validate({**bare, "notices": notices}), 0.0)
        assert sum(row.what == "notices 127.0.0.1:1" and row.state == "failed" for row in found) == rows


async def test_the_mailbox_of_bounces(authority: Authority) -> None:
    async with secured_server(authority.issue().server()) as server, imap_mailbox(authority.issue().server()) as inbox:
        told = {"bounces": f"imaps://localhost:{inbox.port}"}
        where = f"smtp+starttls://localhost:{server.port}"
        right = await notice_ways_found(settings(authority, where, **told))
        wrong = await notice_ways_found(settings(authority, where, bounces_password="no", bounces_username="b", **told))
    assert right[1] == ("bounces", "ok", f"localhost:{inbox.port} answers, gatepost has an Inbox")
    assert wrong[1][:2] == ("bounces", "failed")
    assert wrong[1][2].startswith(f"[notices] bounces localhost:{inbox.port}: [AUTHENTICATIONFAILED]")
