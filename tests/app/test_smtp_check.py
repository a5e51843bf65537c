"""``gatepost check`` says what a mail server for submission is worth, and what to do about it."""

import pytest

from gateway.app.smtp_check import smtp_server_found
from gateway.settings import Settings, SmtpSection
from tests.support.submission_server import SubmissionServer, submission_server


def section(server: SubmissionServer, **more: object) -> SmtpSection:
    """The settings of [smtp]."""
    listen = ["smtp://127.0.0.1:587"]
    return Settings.model_validate({"smtp": {"listen": listen, "upstream": server.url, **more}}).smtp


async def test_a_mail_server_that_takes_logins_and_the_clients_address() -> None:
    async with submission_server() as server:
        server.extensions.append("XCLIENT NAME ADDR PORT")
        what, state, sentence = await smtp_server_found(section(server))
        assert (what, state) == (f"mail server localhost:{server.port}", "ok")
        assert sentence == "answers; clients may log in by PLAIN, LOGIN"
        assert "AUTH" not in server.verbs()


async def test_one_that_does_not_take_the_clients_address() -> None:
    async with submission_server() as server:
        _, state, sentence = await smtp_server_found(section(server))
        assert state == "warning"
        assert "smtpd_authorized_xclient_hosts" in sentence
        _, state, _ = await smtp_server_found(section(server, client_address="none"))
        assert state == "ok"


async def test_one_that_takes_no_login() -> None:
    async with submission_server() as server:
        server.mechanisms = "GSSAPI"
        assert (await smtp_server_found(section(server)))[1:] == (
            "failed",
            f"[smtp] upstream {server.url} takes no login that can be proved there: allow PLAIN",
        )


@pytest.mark.parametrize("more", [{}, {"upstream_ca": "/no/such/file.pem", "upstream": "smtps://localhost:1"}])
async def test_one_that_is_away_or_settings_that_are_wrong(more: dict[str, str]) -> None:
    async with submission_server() as server:
        gone = section(server, **more)
    _, state, sentence = await smtp_server_found(gone)
    assert state == "failed"
    assert sentence.startswith("[smtp] upstream")
