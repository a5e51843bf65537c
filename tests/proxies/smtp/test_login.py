"""Logins are proved at the mail server: every mechanism, every odd form, and a bounded number of wrong ones."""

import asyncio
import base64
from collections.abc import Mapping, Sequence

import pytest
import structlog

from tests.support.fronted import until
from tests.support.submission_server import SubmissionServer, submission_server
from tests.support.submitted import ANNA, Submitted, plain, submitted

WRONG = b"535 5.7.8"
TOKEN = b"ya29." + b"t" * 3000


def b64(octets: bytes) -> bytes:
    """In base64."""
    return base64.b64encode(octets)


async def test_plain_in_one_step_and_in_two(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.greeted()
    assert await client.ask(b"AUTH PLAIN") == b"334 \r\n"
    assert await client.ask(plain(ANNA)) == b"235 2.7.0 Authentication successful\r\n"
    client = await front.client()
    await client.greeted()
    assert (await client.ask(b"auth plain " + plain(ANNA)))[:3] == b"235"


async def test_login_in_three_steps_and_with_the_name_at_once(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.greeted()
    assert await client.ask(b"AUTH LOGIN") == b"334 VXNlcm5hbWU6\r\n"
    assert await client.ask(b64(b"anna")) == b"334 UGFzc3dvcmQ6\r\n"
    assert (await client.ask(b64(b"secret")))[:3] == b"235"
    client = await front.client()
    await client.greeted()
    assert await client.ask(b"AUTH LOGIN " + b64(b"anna")) == b"334 UGFzc3dvcmQ6\r\n"
    assert (await client.ask(b64(b"secret")))[:3] == b"235"


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        (b"XOAUTH2", b"user=anna@corp.example\x01auth=Bearer %b\x01\x01" % TOKEN),
        (b"OAUTHBEARER", b"n,a=anna@corp.example,\x01host=x\x01auth=Bearer %b\x01\x01" % TOKEN),
    ],
)
async def test_tokens_of_real_length(mechanism: bytes, response: bytes, server: SubmissionServer) -> None:
    server.mechanisms = "PLAIN XOAUTH2 OAUTHBEARER"
    server.passwords = (TOKEN.decode(),)
    async with submitted(server.url) as front:
        client = await front.client()
        assert b"AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER" in await client.greeted()
        assert (await client.ask(b"AUTH %b %b" % (mechanism, b64(response))))[:3] == b"235"
        assert len(max(server.commands, key=len)) > 4000
        server.passwords = ("another",)
        client = await front.client()
        await client.greeted()
        # Why it is refused is for the client to see before the answer (RFC 7628 §3.2.3).
        assert await client.ask(b"AUTH %b %b" % (mechanism, b64(response))) == b"334 eyJzdGF0dXMiOiI0MDEifQ==\r\n"
        assert (await client.ask(b"" if mechanism == b"XOAUTH2" else b"AQ=="))[:9] == WRONG


async def test_a_mail_server_that_knows_only_login(server: SubmissionServer) -> None:
    server.mechanisms = "LOGIN"
    async with submitted(server.url) as front:
        assert (await (await front.client()).logged_in())[:3] == b"235"


async def test_a_wrong_password_is_the_mail_servers_to_refuse(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    assert await client.logged_in(password="wrong") == b"535 5.7.8 Error: authentication failed\r\n"
    assert (await client.ask(b"MAIL FROM:<a@b.example>"))[:3] == b"530"
    await until(lambda: server.open == 0)
    assert (await client.ask(b"AUTH PLAIN " + plain(ANNA)))[:3] == b"235"
    assert front.logins("unauthenticated") == 1


@pytest.mark.parametrize(
    ("argument", "answer"),
    [
        (b"", b"501"),
        (b"CRAM-MD5", b"504 5.5.4"),
        (b"GSSAPI", b"504 5.5.4"),
        (b"EXTERNAL =", b"504 5.5.4"),
        (b"XOAUTH2 x", b"504 5.5.4"),
        (b"PLAIN =", b"501 5.5.2"),
        (b"PLAIN !!!", b"501 5.5.2"),
        (b"PLAIN one two", b"501"),
        (b"PLAIN " + b64(b"anna\0secret"), b"501 5.5.2"),
        (b"PLAIN " + b64(b"\0anna\0secret\0more"), b"501 5.5.2"),
        (b"PLAIN " + b64(b"\0anna\0"), b"501 5.5.2"),
        (b"PLAIN " + b64(b"\0\0secret"), b"501 5.5.2"),
        (b"PLAIN " + b64(b"bert\0anna\0secret"), WRONG),
        (b"PLAIN " + b64(b"\0an\x01na\0secret"), b"501 5.5.2"),
        (b"PLAIN " + b64(b"\0an\xffna\0secret"), WRONG),
        (b"PLAIN " + b64(b"\0a@b@c\0secret"), WRONG),
        (b"PLAIN " + b64(b"\0" + b"a" * 1000 + b"\0secret"), WRONG),
    ],
)
async def test_what_is_no_login_is_not_asked_about(
    argument: bytes, answer: bytes, front: Submitted, server: SubmissionServer
) -> None:
    client = await front.client()
    await client.greeted()
    assert (await client.ask(b"AUTH " + argument)).startswith(answer)
    assert "AUTH" not in server.verbs()


async def test_a_client_may_give_up(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.greeted()
    await client.ask(b"AUTH PLAIN")
    assert (await client.ask(b"*"))[:9] == b"501 5.7.0"
    assert (await client.ask(b"AUTH PLAIN " + plain(ANNA)))[:3] == b"235"


async def test_an_authorization_identity_that_is_the_users_own(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.greeted()
    assert (await client.ask(b"AUTH PLAIN " + plain(ANNA, authzid=ANNA)))[:3] == b"235"
    assert b"AUTH PLAIN " + plain(ANNA) in server.commands


async def test_a_second_login_is_refused(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    for before in (b"", b"MAIL FROM:<a@b.example>"):
        if before:
            await client.ask(before)
        assert (await client.ask(b"AUTH PLAIN " + plain("bert")))[:9] == b"503 5.5.1"
    assert server.verbs().count("AUTH") == 1


async def test_a_login_needs_ehlo(front: Submitted) -> None:
    client = await front.client()
    await client.reply()
    assert (await client.ask(b"AUTH PLAIN " + plain(ANNA)))[:3] == b"503"
    await client.ask(b"HELO phone")
    assert (await client.ask(b"AUTH PLAIN " + plain(ANNA)))[:3] == b"500"


async def test_a_login_in_the_clear_is_refused_unless_wanted(server: SubmissionServer) -> None:
    async with submitted(server.url, cleartext_login=False) as front:
        client = await front.client()
        assert b"AUTH" not in await client.greeted()
        assert (await client.ask(b"AUTH PLAIN " + plain(ANNA)))[:10] == b"538 5.7.11"
        assert "AUTH" not in server.verbs()


async def test_three_wrong_ones_end_the_connection(front: Submitted) -> None:
    client = await front.client()
    await client.greeted()
    for _ in range(2):
        assert (await client.ask(b"AUTH PLAIN " + plain(ANNA, "wrong")))[:9] == WRONG
    assert (await client.ask(b"AUTH PLAIN !!!"))[:3] == b"501"
    assert (await client.reply())[:9] == b"421 4.7.0"
    assert await client.closed()
    assert front.ended("too_many_failed_logins") == 1


async def test_an_account_is_not_locked_by_guesses_and_its_user_still_logs_in(
    front: Submitted, server: SubmissionServer
) -> None:
    assert (await (await front.client()).logged_in())[:3] == b"235"
    said = [await (await front.client()).logged_in(password=f"guess{number}") for number in range(8)]
    assert said[0][:9] == WRONG
    assert said[-1][:9] == b"454 4.7.0"
    assert server.verbs().count("AUTH") == 1 + said.count(said[0]) <= 6
    assert (await (await front.client()).logged_in())[:3] == b"235"
    assert (await (await front.client()).logged_in("bert@corp.example"))[:3] == b"235"


async def test_logins_at_the_same_time_do_not_count_against_their_user(
    front: Submitted, server: SubmissionServer
) -> None:
    async def one() -> bytes:
        return await (await front.client()).logged_in()

    assert {each[:3] for each in await asyncio.gather(*(one() for _ in range(15)))} == {b"235"}


async def test_a_mail_server_that_is_away(server: SubmissionServer) -> None:
    async with submission_server() as gone:
        port = gone.port
    async with submitted(f"smtp://127.0.0.1:{port}") as front:
        client = await front.client()
        assert b"AUTH PLAIN LOGIN" in await client.greeted()
        assert (await client.ask(b"AUTH PLAIN " + plain(ANNA)))[:9] == b"454 4.7.0"
        assert front.front.status()["upstreams"] == [{"url": f"smtp://127.0.0.1:{port}", "healthy": False}]


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"454 4.7.0 Temporary failure", b"454 4.7.0 Temporary failure"),
        (b"421 4.3.2 Going down", b"454 4.7.0"),
        (b"", b"454 4.7.0"),
        (b"250 Ok", b"454 4.7.0"),
        (b"what?", b"454 4.7.0"),
    ],
)
async def test_a_mail_server_that_says_something_else(
    reply: bytes, answer: bytes, front: Submitted, server: SubmissionServer
) -> None:
    """It is not about the credentials, and does not count as a wrong password."""
    for _ in range(7):
        client = await front.client()
        server.replies["AUTH"] = [reply]
        assert (await client.logged_in()).startswith(answer)
    assert (await (await front.client()).logged_in())[:3] == b"235"


def told_of(logs: Sequence[Mapping[str, object]]) -> list[tuple[object, object]]:
    """Who was put off, and why, by the log."""
    return [(each["login"], each["reason"]) for each in logs if each["event"] == "login_put_off"]


async def test_too_many_sessions_of_one_user(server: SubmissionServer) -> None:
    async with submitted(server.url, sessions_per_user=2) as front:
        for _ in range(2):
            assert (await (await front.client()).logged_in())[:3] == b"235"
        client = await front.client()
        with structlog.testing.capture_logs() as logs:
            assert (await client.logged_in())[:9] == b"454 4.7.0"
        assert (await client.reply())[:9] == b"421 4.7.0"
        assert front.logins("too_many_sessions") == 1
        assert told_of(logs) == [(ANNA, "too_many_sessions")]
        assert (await (await front.client()).logged_in("bert"))[:3] == b"235"


@pytest.mark.parametrize("kind", ["beyond the bound", "names that nobody can have"])
async def test_every_wrong_login_is_one_try_less(kind: str, front: Submitted, server: SubmissionServer) -> None:
    """Those too that the mail server is not asked about: one connection is no place to guess from."""
    name, outcome = (ANNA, "too_many_failures") if kind == "beyond the bound" else ("a@b@c", "not_asked")
    if kind == "beyond the bound":
        for number in range(2):
            client = await front.client()
            await client.greeted()
            for guess in range(2):
                await client.ask(b"AUTH PLAIN " + plain(ANNA, f"guess{number}{guess}"))
            client.close()
    client = await front.client()
    await client.greeted()
    with structlog.testing.capture_logs() as logs:
        for guess in range(3):
            assert (await client.ask(b"AUTH PLAIN " + plain(name, f"more{guess}")))[:3] in (b"454", b"535")
    assert told_of(logs) == ([(ANNA, outcome)] * 3 if outcome == "too_many_failures" else [])
    assert front.logins(outcome) == 3
    assert (await client.ask(b"NOOP"))[:9] == b"421 4.7.0"
    assert await client.closed()
