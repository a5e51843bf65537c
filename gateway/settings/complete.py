"""Whether settings that are right one by one are enough, and fit each other, for a gateway to start."""

import os.path
from importlib.util import find_spec
from urllib.parse import urlsplit

from gateway.settings.files import fault_of
from gateway.settings.notices import check_notices
from gateway.settings.sections import MailSection, Settings, SmtpSection
from gateway.settings.sentences import PREFIX, SettingsInvalid


def check_complete(settings: Settings, role: str) -> None:
    """Whether a gateway of that role (all, gateway, control) can start with these settings.

    Raises ``SettingsInvalid``.
    """
    serves_phones = role != "control" and bool(settings.http.listen)
    if serves_phones and not settings.http.upstream:
        raise SettingsInvalid(
            "[http] upstream is not set: write the mail server that phones are let through to, "
            f'like upstream = ["https://mail.internal"], or set {PREFIX}HTTP__UPSTREAM'
        )
    for part, section in _mail_sections(settings).items():
        if role != "control" and section.listen and not section.upstream:
            raise SettingsInvalid(
                f"[{part}] upstream is not set: write the mail server that logins are proved at, "
                f'like upstream = "{part}s://mail.internal", or set {PREFIX}{part.upper()}__UPSTREAM'
            )
    if role == "gateway" and settings.redis.url == "embedded":
        raise SettingsInvalid(
            "[redis] url is embedded, which a --role gateway does not start: "
            f"write the URL of the server that the control process uses, or set {PREFIX}REDIS__URL"
        )
    _check_tls(settings)
    check_notices(settings)
    if role != "control":
        _check_askers(settings)


def _check_askers(settings: Settings) -> None:
    """Whoever may ask learns who may have mail, so nobody is answered who has not shown who it is."""
    authz = settings.authz
    asked = {part: getattr(settings, part).listen for part in ("authz", "haproxy", "postfix", "envoy")}
    for part, urls in asked.items():
        for url in urls:
            by_certificate = url.startswith(("https:", "grpcs:")) and authz.client_ca
            if not (url.startswith("unix:") or by_certificate or authz.key_files):
                raise SettingsInvalid(
                    f"[{part}] listen {url} would answer anybody: name a file with a key in [authz] key_files "
                    f"(openssl rand -hex 32), use a unix socket, or {_secure(part)} with [authz] client_ca"
                )
    if settings.envoy.listen and not (find_spec("grpc") and find_spec("envoy")):
        raise SettingsInvalid(
            "[envoy] listen needs grpcio and xds-protos, which are not installed: pip install 'gatepost[envoy]'"
        )
    for number, cut in enumerate(authz.cuts, 1):
        if bool(cut.doveadm) == bool(cut.command):
            raise SettingsInvalid(
                f'[authz] cuts, number {number}: write either doveadm = "http://…" or command = ["/usr/bin/…"]'
            )
        if cut.doveadm and not os.path.isfile(cut.key_file):
            raise SettingsInvalid(
                f"[authz] cuts, number {number}: key_file {cut.key_file!r} is no file: "
                "name one that holds Dovecot's doveadm_api_key, and that this user may read"
            )
    if settings.haproxy.map and not settings.haproxy.runtime:
        raise SettingsInvalid(
            "[haproxy] map is set, but runtime is not: name HAProxy's stats socket, by which the map is kept"
        )
    if settings.haproxy.runtime and not settings.haproxy.listen:
        raise SettingsInvalid(
            "[haproxy] runtime is set, but listen is not: HAProxy asks there, and only who was asked about is cut"
        )
    for file in authz.key_files:
        if fault := fault_of(file):
            raise SettingsInvalid(f"[authz] key_files: {fault}: name one that holds a key")


def _secure(part: str) -> str:
    return "grpcs" if part == "envoy" else "https"


def _mail_sections(settings: Settings) -> dict[str, MailSection | SmtpSection]:
    return {"imap": settings.imap, "pop3": settings.pop3, "smtp": settings.smtp}


def _check_no_certificates(settings: Settings) -> None:
    """Whether nothing needs certificates of clients where no authority of them is named."""
    identity = settings.identity
    demanded = [protocol for protocol, demand in identity.demand.items() if demand == "certificate"]
    rules = ("ews", "mapi", "owa", "dav", "jmap")
    opened = [rule for rule in rules if "certificate" in getattr(settings.webmail, rule)]
    needing = {
        f"[identity] demand = {{ {', '.join(demanded)} }}": bool(demanded),
        "[identity] certificate_user": identity.certificate_user != "none",
        "[identity] certificate_device": identity.certificate_device != "none",
        f"[webmail] {', '.join(opened)}": bool(opened),
        "[authz] certificates_from": bool(settings.authz.certificates_from),
    }
    for name, needs in needing.items():
        if needs:
            raise SettingsInvalid(
                f"{name} needs certificates of clients, but [tls] client_ca is not set: name the PEM file of the "
                "authorities that issue them"
            )


def _check_tls(settings: Settings) -> None:
    listeners = [*settings.http.listen, *settings.admin.listen, *settings.inventory.listen, *settings.health.listen]
    listeners += [*settings.authz.listen, *settings.envoy.listen, *settings.notices.listen]
    for part, section in _mail_sections(settings).items():
        listeners += section.listen
        if section.listen and not settings.tls.certificate and not section.cleartext_login:
            raise SettingsInvalid(
                f"{section.listen[0]} needs a certificate, or nobody could log in: set [tls] certificate and key to "
                f"PEM files, or [{part}] cleartext_login = true where TLS ends before it"
            )
    secure = next((url for url in listeners if urlsplit(url).scheme.endswith("s")), None)
    if secure and not settings.tls.certificate:
        raise SettingsInvalid(f"{secure} needs a certificate: set [tls] certificate and key to PEM files")
    if settings.tls.key and not settings.tls.certificate:
        raise SettingsInvalid(
            "[tls] key is set, but certificate is not: set it to the PEM file that belongs to the key"
        )
    if settings.tls.names and not settings.tls.certificate:
        raise SettingsInvalid(
            "[tls] names is set, but certificate is not: set it to the PEM file for whoever asks for none of them"
        )
    if settings.tls.client_certificate == "required" and not settings.tls.client_ca:
        raise SettingsInvalid(
            "[tls] client_certificate is required, but client_ca is not set: name the PEM file of the authorities that "
            "issue them"
        )
    if not settings.tls.client_ca:
        _check_no_certificates(settings)
    if settings.tls.client_crl and not settings.tls.client_ca:
        raise SettingsInvalid(
            "[tls] client_crl is set, but client_ca is not: name the PEM file of the authorities whose list it is"
        )
    named = {
        "[tls] certificate": settings.tls.certificate,
        "[tls] key": settings.tls.key,
        "[tls] client_ca": settings.tls.client_ca,
        "[tls] client_crl": settings.tls.client_crl,
        "[http] upstream_ca": settings.http.upstream_ca,
        **{f"[{part}] upstream_ca": section.upstream_ca for part, section in _mail_sections(settings).items()},
        "[authz] client_ca": settings.authz.client_ca,
        **{f"[authz] cuts, number {number}: ca": each.ca for number, each in enumerate(settings.authz.cuts, 1)},
        "[redis] ca": settings.redis.ca,
        "[audit] webhook_ca": settings.audit.webhook_ca,
        "[notices] server_ca": settings.notices.server_ca,
    }
    for number, each in enumerate(settings.tls.names, 1):
        named[f"[tls] names, number {number}: certificate"] = each.certificate
        named[f"[tls] names, number {number}: key"] = each.key
    for name, path in named.items():
        if path and (fault := fault_of(path)):
            raise SettingsInvalid(f"{name}: {fault}: name a PEM file that this user may read")
