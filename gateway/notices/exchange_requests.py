"""What is asked of Exchange, by exchangelib: a notice sent with a copy in Sent Items, and that copy found again.

Blocking; one call is one attempt of one thread. Of exchangelib's own patience nothing is left: it would send a message
again whose answer was lost (it takes the loss for a busy server), and try a refused request in each version of the
schema. Time-out, adapter and User-Agent are exchangelib's class attributes: there is one Exchange to a process.

The key of a notice is a named property of ours, since the Message-ID is the server's to choose ([MS-OXOMSG] 2.2.1.48).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exchangelib import (
    BASIC,
    DELEGATE,
    IMPERSONATION,
    NTLM,
    OAUTH2,
    Account,
    Build,
    Configuration,
    Credentials,
    ExtendedProperty,
    FailFast,
    HTMLBody,
    Identity,
    Mailbox,
    Message,
    OAuth2Credentials,
    Version,
)
from exchangelib.ewsdatetime import EWSTimeZone
from exchangelib.folders import Root, SentItems
from exchangelib.items import SEND_AND_SAVE_COPY, SEND_TO_NONE
from exchangelib.properties import DistinguishedFolderId
from exchangelib.protocol import BaseProtocol, Protocol, close_connections
from exchangelib.services import CreateItem, GetFolder
from oauthlib.oauth2 import TokenExpiredError

from gateway.notices.exchange_ntlm import BoundNtlm
from gateway.notices.exchange_settings import ExchangeSettings
from gateway.notices.exchange_wire import WatchedAdapter
from gateway.ports.notices import OutgoingNotice

# Their ERROR lines hold whole requests, and DEBUG the login.
logging.getLogger("exchangelib").setLevel(logging.CRITICAL)

SUPPRESS_ALL_BUT_BOUNCES = 0x3C
"""[MS-OXCMAIL] 2.1.3.2.20: RN, NRN, OOF and AutoReply; never 0x2, which would keep bounces away."""


class _Key(ExtendedProperty):  # type: ignore[misc]
    property_set_id = "7c0a0ee6-5d3e-4f57-9a07-4b1d6f3a9c52"
    property_name = "gatepost-notice"
    property_type = "String"


class _AutoSubmitted(ExtendedProperty):  # type: ignore[misc]
    """RFC 3834 5; a header by [MS-OXCMAIL] 2.1.3.2.4."""

    distinguished_property_set_id = "InternetHeaders"
    property_name = "Auto-Submitted"
    property_type = "String"


class _Suppress(ExtendedProperty):  # type: ignore[misc]
    """PidTagAutoResponseSuppress."""

    property_tag = 0x3FDF
    property_type = "Integer"


Message.register("notice_key", _Key)
Message.register("auto_submitted", _AutoSubmitted)
Message.register("suppress_replies", _Suppress)


class _CreateOnce(CreateItem):  # type: ignore[misc]
    """CreateItem without repeating anything."""

    def _api_versions_to_try(self) -> tuple[str, ...]:
        return (self._version_hint.api_version,)

    def _get_elements(self, payload: Any) -> Iterator[Any]:
        try:
            yield from self._response_generator(payload=payload)
        except TokenExpiredError:
            # Found before anything was sent; there is a new token now.
            yield from self._response_generator(payload=payload)


class _ClientCredentials(OAuth2Credentials):  # type: ignore[misc]
    """RFC 6749 4.4 with any issuer; a token that is over is asked for anew, there is none to refresh it (4.4.3)."""

    def __init__(self, settings: ExchangeSettings) -> None:
        super().__init__(
            client_id=settings.username,
            client_secret=settings.secret,
            identity=Identity(primary_smtp_address=settings.mailbox) if settings.impersonate else None,
        )
        self._issuer, self._scopes = settings.token_url, settings.scope

    @property
    def token_url(self) -> str:
        return self._issuer

    @property
    def scope(self) -> list[str]:
        return self._scopes.split()

    def session_params(self) -> dict[str, Any]:
        return {"token": self.access_token}


class _Sessions(Protocol):  # type: ignore[misc]
    """A session that cannot be replaced is no longer counted; exchangelib's would be waited for without end."""

    def create_session(self) -> Any:
        session = super().create_session()
        if self.auth_type == NTLM:
            session.auth = BoundNtlm(session.auth.username, session.auth.password)
        return session

    def retire_session(self, session: Any) -> None:
        self.close_session(session)
        self._one_less()

    def renew_session(self, session: Any) -> Any:
        try:
            return super().renew_session(session)
        except BaseException:
            self._one_less()
            raise

    def _one_less(self) -> None:
        with self._session_pool_lock:
            self._session_pool_size -= 1


class ExchangeMailbox:
    """The mailbox that notices come from."""

    def __init__(self, settings: ExchangeSettings) -> None:
        """Asks nothing of the server."""
        self._settings = settings

        class Adapter(WatchedAdapter):
            authority = settings.authority
            connect_seconds = settings.connect_seconds

        BaseProtocol.TIMEOUT = settings.answer_seconds
        BaseProtocol.USERAGENT = "Gatepost"
        BaseProtocol.HTTP_ADAPTER_CLS = Adapter
        self._account = _account(settings)
        root = Root(account=self._account, _distinguished_id=DistinguishedFolderId(id="root"))
        self._sent = SentItems(root=root, _distinguished_id=DistinguishedFolderId(id="sentitems"))

    def log_in(self) -> None:
        """Have a session; by OAuth a token too."""
        protocol = self._account.protocol
        protocol.release_session(protocol.get_session())

    def forget_login(self) -> None:
        """A token that the server does not take is not shown again."""
        self._account.protocol.close()

    def send(self, notice: OutgoingNotice) -> BaseException | None:
        """Send once. Returns what the server said of this message, or raises; None: sent."""
        create = _CreateOnce(account=self._account, chunk_size=1)
        answers = list(
            create.call(
                items=[self._item(notice)],
                folder=self._sent,
                message_disposition=SEND_AND_SAVE_COPY,
                send_meeting_invitations=SEND_TO_NONE,
            )
        )
        if len(answers) != 1:
            return _Odd(f"{len(answers)} answers to one message")
        return answers[0] if isinstance(answers[0], BaseException) else None

    def find(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Key to Message-ID of the copies in Sent Items."""
        found = self._sent.filter(notice_key__in=list(keys)).only("notice_key", "message_id")
        return {each.notice_key: each.message_id or "" for each in found[: 2 * len(keys)]}

    def look(self) -> None:
        """Ask for Sent Items: proves connection, login and rights without sending."""
        asked = GetFolder(account=self._account).call(folders=[self._sent], additional_fields=[], shape="IdOnly")
        for each in asked:
            if isinstance(each, Exception):
                raise each

    def close(self) -> None:
        """End connections."""
        close_connections()

    def _item(self, notice: OutgoingNotice) -> Message:
        suppress = SUPPRESS_ALL_BUT_BOUNCES if "X-Auto-Response-Suppress" in notice.headers else None
        return Message(
            account=self._account,
            subject=notice.subject,
            body=HTMLBody(notice.html) if notice.html else notice.plain,
            author=Mailbox(name=notice.sender_name or None, email_address=notice.sender),
            to_recipients=[Mailbox(name=notice.recipient_name or None, email_address=notice.recipient)],
            reply_to=[Mailbox(email_address=notice.reply_to)] if notice.reply_to else None,
            message_id=notice.message_id if self._settings.choose_message_id else None,
            in_reply_to=notice.references[-1] if notice.references else None,
            references=" ".join(notice.references) or None,
            notice_key=notice.key,
            auto_submitted=notice.headers.get("Auto-Submitted"),
            suppress_replies=suppress,
        )


class _Odd(Exception):  # noqa: N818  (an answer that is none)
    pass


def _account(settings: ExchangeSettings) -> Account:
    if settings.login == "oauth":
        credentials, kind = _ClientCredentials(settings), OAUTH2
    else:
        credentials = Credentials(settings.username, settings.secret)
        kind = NTLM if settings.login == "ntlm" else BASIC
    config = Configuration(
        service_endpoint=settings.url,
        credentials=credentials,
        auth_type=kind,
        # Exchange 2016 and later say "Exchange2016"; which of them it is changes nothing that is sent.
        version=Version(Build(15, 1)),
        retry_policy=FailFast(),
        max_connections=settings.connections,
    )
    # Kept by exchangelib for this login: the account takes it.
    _Sessions(config=config)
    return Account(
        settings.mailbox,
        config=config,
        access_type=IMPERSONATION if settings.impersonate else DELEGATE,
        autodiscover=False,
        locale="en_US",
        default_timezone=EWSTimeZone("UTC"),
    )
