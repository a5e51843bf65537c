"""Whether the [notices] section is enough, and fits itself, for notices to leave."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.domain.errors import InvalidValue
from gateway.notices.languages import languages_of
from gateway.settings.sections import NoticesSection, Settings
from gateway.settings.sentences import PREFIX, SettingsInvalid

EXCHANGE_ONLINE = ("outlook.office365.com", "outlook.office.com", "outlook.com")


def check_notices(settings: Settings) -> None:
    """Raises ``SettingsInvalid``. Without a sender no notice is sent, and little is looked at."""
    told = settings.notices
    _check_page(told)
    if not told.sender:
        return
    if not told.server:
        raise SettingsInvalid(
            "[notices] server is not set: write the mail server that takes notices, like "
            f'server = "smtp+starttls://mail.internal:25", or set {PREFIX}NOTICES__SERVER'
        )
    parts = urlsplit(told.server)
    if parts.scheme == "smtp" and not _is_this_machine(parts.hostname or ""):
        raise SettingsInvalid(
            f"[notices] server {told.server} would be spoken to in clear text: write smtp+starttls:// or smtps://"
        )
    if parts.scheme == "ews+https":
        _check_exchange(told, parts.hostname or "")
    elif told.login == "ntlm" or told.impersonate or told.choose_message_id:
        key = 'login = "ntlm"' if told.login == "ntlm" else "impersonate" if told.impersonate else "choose_message_id"
        raise SettingsInvalid(f"[notices] {key} is for Exchange: remove it, or write server = ews+https://…")
    _check_login(told)
    _check_bounces(told)
    _check_language(told)


def _check_language(told: NoticesSection) -> None:
    try:
        languages = languages_of(told.templates)
    except InvalidValue as error:
        raise SettingsInvalid(f"{error}: correct it, or leave templates empty for those that come along") from None
    if told.language not in languages:
        raise SettingsInvalid(
            f"[notices] language {told.language!r}: there are notices in {', '.join(languages)}: write one of them, or "
            "name templates of your own in templates"
        )


def _check_page(told: NoticesSection) -> None:
    if bool(told.listen) != bool(told.link):
        missing, what = "link", "the address that readers reach it by, like https://mail-access.corp.example"
        if told.link:
            missing, what = "listen", 'where the page behind it listens, like listen = ["http://127.0.0.1:8093"]'
        variable = f"{PREFIX}NOTICES__{missing.upper()}"
        raise SettingsInvalid(f"[notices] {missing} is not set: write {what}, or set {variable}")
    if not told.sender and told.listen:
        raise SettingsInvalid(
            "[notices] sender is not set, so nobody gets a link to the page of listen: write the address that notices "
            f"come from, or set {PREFIX}NOTICES__SENDER"
        )


def _check_exchange(told: NoticesSection, host: str) -> None:
    host = f".{host.lower().rstrip('.')}"
    if any(host.endswith(f".{each}") for each in EXCHANGE_ONLINE):
        raise SettingsInvalid(
            "[notices] server is Exchange Online, which ends EWS from 1 October 2026 and for good on 1 April 2027: "
            'write server = "smtp+starttls://smtp.office365.com:587" with login = "oauth"'
        )
    if not told.username:
        raise SettingsInvalid(
            "[notices] username is not set: Exchange takes notices from who logs in only, "
            f"so write the account (DOMAIN\\name), or set {PREFIX}NOTICES__USERNAME"
        )


def _check_login(told: NoticesSection) -> None:
    if told.login == "oauth" and not (told.token_url and told.username):
        raise SettingsInvalid(
            '[notices] login = "oauth" needs token_url, and the client\'s id and secret in username and password'
        )
    if told.login == "password" and told.token_url:
        raise SettingsInvalid('[notices] token_url is set, but no token is asked for: write login = "oauth"')
    if told.username and not told.password:
        raise SettingsInvalid(
            "[notices] username is set, but password is not: "
            f"set {PREFIX}NOTICES__PASSWORD_FILE to a file that holds it"
        )


def _check_bounces(told: NoticesSection) -> None:
    if not told.bounces:
        return
    parts = urlsplit(told.bounces)
    if parts.scheme == "imap" and not _is_this_machine(parts.hostname or ""):
        raise SettingsInvalid(
            f"[notices] bounces {told.bounces} would be read in clear text: write imaps:// or imap+starttls://"
        )
    if bool(told.bounces_username) != bool(told.bounces_password):
        raise SettingsInvalid("[notices] bounces_username and bounces_password belong together: set both, or none")
    if not told.bounces_username and (not told.username or told.login == "oauth"):
        raise SettingsInvalid("[notices] bounces needs a login by password: set bounces_username and bounces_password")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
