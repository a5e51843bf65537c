"""What we use of aiosmtpd and aiosmtplib besides what they promise: a version without it fails here, not in use."""

import inspect

import aiosmtplib
from aiosmtpd.smtp import SMTP
from aiosmtplib.protocol import SMTPProtocol

from gateway.proxies.smtp.session import Session


def test_aiosmtpd() -> None:
    source = inspect.getsource(SMTP)
    for name in (
        *("_reader.readuntil()", "_writer", "_handler_coroutine", "_cb_client_connected", "_create_envelope"),
        *("_create_session", "_reset_timeout", "_timeout_cb", "command_size_limits", "_smtp_methods"),
    ):
        assert name in source, name
    # The client is read by the loop of commands, which has our reader, and by what we do not use.
    ours = (
        inspect.getsource(SMTP._handle_client),
        inspect.getsource(SMTP.smtp_DATA),
        inspect.getsource(SMTP.challenge_auth),
    )
    assert source.count("self._reader.read") == sum(each.count("self._reader.read") for each in ours)


def test_no_command_of_aiosmtpd_is_left_to_chance() -> None:
    inherited = {
        name for name in dir(SMTP) if name.startswith("smtp_") and getattr(Session, name) is getattr(SMTP, name)
    }
    assert inherited == {"smtp_EXPN"}


def test_aiosmtplib() -> None:
    assert inspect.iscoroutinefunction(SMTPProtocol._drain_helper)
    assert "self._buffer = bytearray()" in inspect.getsource(SMTPProtocol.__init__)
    assert "self._response_pending = True" in inspect.getsource(SMTPProtocol.read_response)
    assert "connection_lost_callback" in inspect.signature(SMTPProtocol.__init__).parameters
    assert "start_tls" in inspect.signature(aiosmtplib.SMTP.__init__).parameters
