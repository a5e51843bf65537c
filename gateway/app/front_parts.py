"""What fronts are told of the settings: each section as its front takes it."""

import socket
from collections.abc import Callable

from gateway.app.parts import workers_of
from gateway.authz.settings import AuthzSettings
from gateway.domain.access import Protocol
from gateway.domain.identity import IdentityRules
from gateway.network.client_certificate import Issuers, Revoked
from gateway.protocols.webmail.paths import Rule
from gateway.proxies.attempts import FAILURES_PER_MINUTE, Attempts
from gateway.proxies.client_certificates import CertificateFields, ClientCertificates
from gateway.proxies.front import HttpFrontSettings
from gateway.proxies.mail.front_settings import MailFrontSettings
from gateway.proxies.smtp.front_settings import SmtpFrontSettings
from gateway.proxies.webmail.exposure import WebmailSettings
from gateway.settings import MailSection, Settings, SmtpSection, WebmailSection


def client_certificates_of(
    settings: Settings, rules: IdentityRules, now: Callable[[], float]
) -> ClientCertificates | None:
    """Reads what clients show; None: none are asked for. Raises ``TlsUnusable``."""
    tls, identity = settings.tls, settings.identity
    if not tls.client_ca:
        return None
    fields = CertificateFields(
        user=identity.certificate_user,
        device=identity.certificate_device,
        device_form=identity.certificate_device_form,
        device_key=identity.certificate_device_key,
    )
    issuers = Issuers(tls.client_ca) if settings.authz.certificates_from else None
    return ClientCertificates(fields, rules, revoked=Revoked(tls.client_crl), issuers=issuers, now=now)


def attempts_of(settings: Settings, now: Callable[[], float]) -> Attempts:
    """A worker's share of the failed logins that all of them may cause: none knows of the others' questions."""
    return Attempts(now, max(1, FAILURES_PER_MINUTE // workers_of(settings)))


def authz_settings_of(settings: Settings) -> AuthzSettings:
    """The [authz] section as its fronts take it."""
    apart = {"listen", "key_files", "client_ca", "certificates_from", "mail_servers", "cuts"}
    given = settings.authz.model_dump(exclude=apart)
    servers = {Protocol(name): _host_and_port(place) for name, place in settings.authz.mail_servers.items()}
    return AuthzSettings(
        certificates_required=bool(settings.authz.client_ca),
        certificates_from=frozenset(settings.authz.certificates_from),
        mail_servers=servers,
        **given,
    )


def _host_and_port(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host.strip("[]"), int(port)


def front_settings_of(settings: Settings) -> HttpFrontSettings:
    """The [http] and [webmail] sections as the front takes them: the same names, but for where it listens and goes."""
    given = settings.http.model_dump(exclude={"listen", "upstream", "trusted_proxies"})
    return HttpFrontSettings(
        upstreams=tuple(settings.http.upstream),
        trusted_proxies=tuple(settings.http.trusted_proxies),
        webmail=_webmail_settings_of(settings.webmail),
        **given,
    )


def _webmail_settings_of(section: WebmailSection) -> WebmailSettings:
    return WebmailSettings(
        openings={rule: tuple(getattr(section, rule.value)) for rule in Rule},
        dav_paths=tuple(section.dav_paths),
        jmap_paths=tuple(section.jmap_paths),
        connection_bound=frozenset(Rule(name) for name in section.connection_bound),
        bound_connections=section.bound_connections,
        bound_login_seconds=section.bound_login_seconds,
    )


def mail_front_settings_of(section: MailSection) -> MailFrontSettings:
    """A section like [imap] as its front takes it: the same names, but for where it listens."""
    given = section.model_dump(exclude={"listen", "trusted_proxies"})
    return MailFrontSettings(trusted_proxies=tuple(section.trusted_proxies), **given)


def smtp_front_settings_of(section: SmtpSection) -> SmtpFrontSettings:
    """The [smtp] section as its front takes it; without a ``name`` it is the machine's own, as far as it is one."""
    own = "".join(
        letter for letter in socket.gethostname() if letter.isascii() and (letter.isalnum() or letter in ".-")
    )
    given = section.model_dump(exclude={"listen", "name", "trusted_proxies"})
    proxies = tuple(section.trusted_proxies)
    return SmtpFrontSettings(name=section.name or own or "localhost", trusted_proxies=proxies, **given)
