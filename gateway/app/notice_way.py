"""The way that notices go, as [notices] has it: SMTP, or EWS into an Exchange on premises.

Nothing connects here, and exchangelib is loaded by the first notice that goes to Exchange.
"""

import ssl
from dataclasses import replace
from urllib.parse import urlsplit

from gateway.domain.errors import DomainError
from gateway.notices.bounce_mailbox import BounceMailbox, BounceSettings
from gateway.notices.exchange import ExchangeDelivery
from gateway.notices.exchange_settings import ExchangeSettings
from gateway.notices.smtp import SmtpDelivery
from gateway.notices.smtp_settings import SmtpSettings
from gateway.notices.tokens import TokenClient, Tokens
from gateway.ports.notices import NoticeDelivery
from gateway.settings import NoticesSection, Settings

_PORTS = {"smtp": 25, "smtp+starttls": 25, "smtps": 465}
_IMAP_PORTS = {"imap": 143, "imap+starttls": 143, "imaps": 993}
EWS = "ews+"


def delivery_of(settings: Settings, patience_seconds: float | None = None) -> NoticeDelivery:
    """The way; to be closed by who takes it. ``patience_seconds``: for who only tries it. Raises ``DomainError``."""
    told = settings.notices
    if told.server.startswith(EWS):
        exchange = _exchange(told)
        if patience_seconds is not None:
            exchange = replace(exchange, connect_seconds=patience_seconds, answer_seconds=patience_seconds)
        return ExchangeDelivery(exchange)
    smtp = _smtp(told)
    if patience_seconds is not None:
        smtp = replace(smtp, connect_seconds=patience_seconds)
    return SmtpDelivery(smtp, _trusting(told.server_ca), _tokens(told) if told.login == "oauth" else None)


def bounce_mailbox_of(settings: Settings) -> BounceMailbox | None:
    """Where bounces come back to; None where they are not read. Raises ``DomainError``."""
    told = settings.notices
    if not (told.sender and told.bounces):
        return None
    parts = urlsplit(told.bounces)
    security = {"imap": "none", "imap+starttls": "starttls", "imaps": "tls"}[parts.scheme]
    return BounceMailbox(
        BounceSettings(
            host=parts.hostname or "",
            port=parts.port or _IMAP_PORTS[parts.scheme],
            security=security,  # type: ignore[arg-type]
            username=told.bounces_username or told.username,
            password=told.bounces_password or told.password,
        ),
        _trusting(told.server_ca),
    )


def place_of(settings: Settings) -> str:
    """Host and port of the server, for operators."""
    return urlsplit(settings.notices.server).netloc


def _smtp(told: NoticesSection) -> SmtpSettings:
    parts = urlsplit(told.server)
    security = {"smtp": "none", "smtp+starttls": "starttls", "smtps": "tls"}[parts.scheme]
    by_token = told.login == "oauth"
    return SmtpSettings(
        host=parts.hostname or "",
        port=parts.port or _PORTS[parts.scheme],
        security=security,  # type: ignore[arg-type]
        name=told.sender.rpartition("@")[2],
        # A token says which client logs in, and XOAUTH2 into which mailbox.
        username=told.sender if by_token else told.username,
        password="" if by_token else told.password,
        connections=told.connections,
        handover_seconds=told.handover_seconds,
        answer_seconds=told.answer_seconds,
    )


def _tokens(told: NoticesSection) -> Tokens:
    client = TokenClient(told.token_url, told.username, told.password, told.token_scope)
    tls = ssl.create_default_context()
    if told.server_ca:
        # Beside the usual ones: the issuer is somebody else's as a rule.
        tls.load_verify_locations(told.server_ca)
    return Tokens(client, tls)


def _exchange(told: NoticesSection) -> ExchangeSettings:
    _trusting(told.server_ca)
    return ExchangeSettings(
        url=told.server.removeprefix(EWS),
        mailbox=told.sender,
        username=told.username,
        secret=told.password,
        login="basic" if told.login == "password" else told.login,
        impersonate=told.impersonate,
        token_url=told.token_url,
        scope=told.token_scope,
        authority=told.server_ca,
        choose_message_id=told.choose_message_id,
        connections=told.connections,
    )


def _trusting(authorities: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities or None)
    except (OSError, ssl.SSLError) as error:
        raise DomainError(f"[notices] server_ca {authorities} cannot be read: {error}") from None
