"""``gatepost check`` of the mail servers behind IMAP and POP3: do they answer, and what can be done with them."""

from dataclasses import replace
from urllib.parse import urlsplit

from gateway.app.front_parts import mail_front_settings_of
from gateway.domain.errors import DomainError
from gateway.network.upstream import UpstreamUnavailable
from gateway.proxies.mail.imap import IMAP
from gateway.proxies.mail.pop3 import POP3
from gateway.proxies.mail.spoken import Spoken
from gateway.proxies.mail.upstream import MailServer
from gateway.settings import MailSection, Settings

ANSWER_SECONDS = 10.0


def mail_sections(settings: Settings) -> tuple[tuple[Spoken, MailSection], ...]:
    """The proxies of this kind, with their settings."""
    return (IMAP, settings.imap), (POP3, settings.pop3)


async def mail_server_found(spoken: Spoken, section: MailSection) -> tuple[str, str, str]:
    """What was looked at, how it stands, and a sentence; nobody is logged in."""
    what = f"mail server {urlsplit(section.upstream).netloc}"
    part = spoken.protocol.value
    told = mail_front_settings_of(section)
    bounded = replace(
        told,
        upstream_connect_seconds=min(told.upstream_connect_seconds, ANSWER_SECONDS),
        upstream_login_seconds=min(told.upstream_login_seconds, ANSWER_SECONDS),
    )
    try:
        capabilities = await MailServer(spoken, bounded).probe()
    except UpstreamUnavailable as error:
        hint = "" if "certificate" in str(error) else ": is that its address, does it run, may this machine reach it?"
        return what, "failed", f"[{part}] upstream {error}{hint}"
    except DomainError as error:
        return what, "failed", str(error)
    mechanisms = [each.value for each in spoken.mechanisms(capabilities)]
    if not mechanisms:
        return (
            what,
            "failed",
            f"[{part}] upstream {section.upstream} takes no login that can be proved there: allow PLAIN",
        )
    return what, "ok", f"answers; clients may log in by {', '.join(mechanisms)}"
