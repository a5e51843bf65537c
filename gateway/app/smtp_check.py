"""``gatepost check`` of the mail server for submission: does it answer, and what can be done with it."""

from dataclasses import replace
from urllib.parse import urlsplit

from gateway.app.front_parts import smtp_front_settings_of
from gateway.domain.errors import DomainError
from gateway.network.upstream import UpstreamUnavailable
from gateway.protocols.smtp.extensions import offered
from gateway.proxies.smtp.upstream import Leg, MailServer
from gateway.settings import SmtpSection

ANSWER_SECONDS = 10.0


async def smtp_server_found(section: SmtpSection) -> tuple[str, str, str]:
    """What was looked at, how it stands, and a sentence; nobody is logged in."""
    what = f"mail server {urlsplit(section.upstream).netloc}"
    told = smtp_front_settings_of(section)
    bounded = replace(told, upstream_connect_seconds=min(told.upstream_connect_seconds, ANSWER_SECONDS))
    try:
        leg = Leg(MailServer(bounded), bounded)
        await leg.open(None)
        await leg.quit()
    except UpstreamUnavailable as error:
        hint = "" if "certificate" in str(error) else ": is that its address, does it run, may this machine reach it?"
        return what, "failed", f"[smtp] upstream {error}{hint}"
    except DomainError as error:
        return what, "failed", str(error)
    mechanisms = [each.value for each in offered(leg.extensions)]
    if not mechanisms:
        return (
            what,
            "failed",
            f"[smtp] upstream {section.upstream} takes no login that can be proved there: allow PLAIN",
        )
    said = f"answers; clients may log in by {', '.join(mechanisms)}"
    if section.client_address == "protocol" and "ADDR" not in leg.extensions.xclient:
        return (
            what,
            "warning",
            (
                f"{said}; it does not take XCLIENT from here, so all clients are one address to it: name this machine "
                "in its smtpd_authorized_xclient_hosts, or set [smtp] client_address"
            ),
        )
    return what, "ok", said
