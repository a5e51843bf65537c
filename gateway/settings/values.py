"""What keys accept. Every message of a ``ValueError`` here is the second half of a sentence that names the key."""

import base64
import ipaddress
import json
import re
from collections.abc import Callable
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.domain.errors import InvalidValue
from gateway.domain.freeze import freeze_span
from gateway.notices.addresses import is_address
from gateway.settings.urls import server_url, split_url

_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~@-]{1,100}){1,8}")
_MEMORY = re.compile(r"[1-9][0-9]*([kmg]b?)?", re.IGNORECASE)


def listed(value: object) -> object:
    """A lone value where a list is meant; from the environment also JSON, or commas in between."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [piece.strip() for piece in value.split(",") if piece.strip()]
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('write a list like ["one", "two"], or the values with commas in between') from None


def _mapped(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('write it as JSON, like {"CORP": "corp.example"}') from None


def tabled(value: object) -> object:
    """A list of tables; a lone one counts as a list of one, from the environment it is JSON."""
    return _tabled(value, '[{ certificate = "two.pem", key = "two.key" }]')


def tabled_cuts(value: object) -> object:
    """The same of ways to cut."""
    return _tabled(value, '[{ askers = ["dovecot"], doveadm = "http://127.0.0.1:8074", key_file = "/etc/…" }]')


def _tabled(value: object, example: str) -> object:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError(f"write a list of tables, like {example} (JSON in a variable)")
    return value


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("write a number, not true or false")
    return value


def _listener(*schemes: str, example: str) -> Callable[[str], str]:
    """Accepts ``scheme://ADDRESS:PORT``."""
    remedy = f"write it like {example}"

    def checked(value: str) -> str:
        parts = split_url(value, remedy)
        bare = parts.path in ("", "/") and not parts.query and parts.username is None
        if parts.scheme not in schemes or not parts.hostname or parts.port is None or not bare:
            raise ValueError(f"{value!r} is no address to listen on: {remedy}")
        return value.rstrip("/")

    return checked


def _asker_listener(*schemes: str, example: str) -> Callable[[str], str]:
    """Accepts ``scheme://ADDRESS:PORT`` and ``unix:///PATH``; what stands behind the path is looked at by who binds."""
    network = _listener(*schemes, example=f"{example}, or unix:///run/gatepost/NAME.sock?mode=0660")

    def checked(value: str) -> str:
        return value if value.startswith("unix:///") else network(value)

    return checked


_DEMAND_REMEDY = 'write it like { imap = "either", smtp = "certificate" }'
_WITHOUT_CREDENTIALS = ("activesync", "webmail")


def _frozen(value: str) -> str:
    try:
        freeze_span(value)
    except InvalidValue as error:
        raise ValueError(str(error)) from None
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone known here: write one like Europe/Madrid") from None
    return value


def _demanded(value: dict[str, str]) -> dict[str, str]:
    """ActiveSync and other mail by HTTP have no place for a device credential."""
    for protocol in _WITHOUT_CREDENTIALS:
        if value.get(protocol) in ("credential", "either"):
            raise ValueError(
                f'nobody can show a device credential by {protocol}: write {protocol} = "certificate", or "none"'
            )
    return value


def _form(value: str) -> str:
    if value.count("{}") != 1:
        raise ValueError('write the whole text with {} where the key stands, like "IntuneDeviceId://{}"')
    return value


def _where(value: str) -> str:
    """ADDRESS:PORT as nginx takes it: a literal address, no name."""
    remedy = "write an address and a port, like 10.0.0.5:143 or [fd00::5]:143"
    parts = split_url(f"//{value}", remedy)
    try:
        ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        raise ValueError(f"nginx takes no names here: {remedy}") from None
    if not parts.port or parts.netloc != value:
        raise ValueError(f"this is no address with a port: {remedy}")
    return value


def _mail_server(value: str) -> str:
    remedy = "write scheme and host only, like https://mail.internal"
    parts = server_url(value, remedy)
    if parts.username is not None:
        raise ValueError(f"a mail server's address holds no user name, phones bring their own: {remedy}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError(f"{value!r} is no mail server: {remedy}")
    return value.rstrip("/")


def _mail_protocol_server(name: str) -> Callable[[str], str]:
    """Accepts ``imap://host``, ``imaps://host`` and ``imap+starttls://host``, or nothing."""
    remedy = f"write scheme and host only, like {name}s://mail.internal"
    schemes = (name, f"{name}s", f"{name}+starttls")

    def checked(value: str) -> str:
        if not value:
            return ""
        parts = server_url(value, remedy)
        if parts.username is not None:
            raise ValueError(f"a mail server's address holds no user name, clients bring their own: {remedy}")
        if parts.scheme not in schemes or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"{value!r} is no mail server: {remedy}, or with {name} or {name}+starttls")
        return value.rstrip("/")

    return checked


def _host_name(value: str) -> str:
    if value and not _HOST_NAME.fullmatch(value):
        raise ValueError(
            f"{value!r} is no host name: write one like gate.corp.example, or nothing for this machine's own"
        )
    return value


def _public(value: str) -> str:
    if not value:
        return ""
    remedy = "write scheme and host only, like https://mail.example"
    parts = server_url(value, remedy)
    bare = parts.path in ("", "/") and not parts.query and parts.username is None
    if parts.scheme not in ("http", "https") or not parts.hostname or not bare:
        raise ValueError(f"this is no address of ours: {remedy}")
    return value.rstrip("/")


def _webhook(value: str) -> str:
    if not value:
        return ""
    remedy = "write it like https://auditor.example/checkpoints"
    parts = server_url(value, remedy)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"this is no webhook: {remedy}")
    return value


def _webhook_secret(value: str) -> str:
    remedy = "write whsec_ and base64 of 24 octets or more, the receiver's own"
    if not value:
        return ""
    try:
        key = base64.b64decode(value.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not value.startswith("whsec_") or len(key) < 24:
        raise ValueError(f"this is no secret of a webhook: {remedy}")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        try:
            right = str(ipaddress.ip_network(value, strict=False))
        except ValueError:
            right = "10.1.0.0/16"
        raise ValueError(f"{value!r} is no network: write it like {right}") from None
    return value


_DAV_REMEDY = 'write a path like "/SOGo/dav"'
_TAKEN_PATHS = frozenset(
    (
        *("microsoft-server-activesync", "autodiscover", ".well-known", "ews", "mapi", "oab", "owa", "ecp", "rpc"),
        *("powershell", "remotepowershell", "api", "public", "exchange", "exchweb"),
    )
)
"""First elements of paths that have rules of their own, or are never served."""


def _opening(value: str) -> str:
    if value in ("verdict", "certificate"):
        return value
    try:
        return _network(value)
    except ValueError as error:
        raise ValueError(f'{error}, "certificate" or "verdict"') from None


def _cookie_opening(value: str) -> str:
    if value in ("verdict", "certificate"):
        raise ValueError("a cookie names nobody who could be judged: write networks only, like 10.1.0.0/16")
    return _network(value)


def _served_path(value: str) -> str:
    """A path that is opened with all that lies below it."""
    elements = value[1:].split("/")
    if not _PATH.fullmatch(value) or any(not each.strip(".") for each in elements):
        raise ValueError(f"{value!r} is no path without a slash at its end: {_DAV_REMEDY}")
    if elements[0].lower() in _TAKEN_PATHS or value.lower() == "/sogo":
        raise ValueError(f"{value!r} holds more than calendars and address books: {_DAV_REMEDY}")
    return value


def _redis(value: str) -> str:
    remedy = 'write "embedded", or a URL like unix:///run/redis.sock, redis://host:6379, rediss://host:6379'
    if value == "embedded":
        return value
    parts = server_url(value, remedy)
    if parts.scheme not in ("unix", "redis", "rediss") or (parts.scheme == "unix" and not parts.path.strip("/")):
        raise ValueError(remedy)
    return value


def _storage(value: str) -> str:
    if value and not value.startswith(("sqlite:////", "postgresql://", "postgres://")):
        raise ValueError(
            "write nothing for SQLite in data_dir, sqlite:////absolute/path.db, or postgresql://user:password@host/database"
        )
    return value


def _memory(value: str) -> str:
    if not _MEMORY.fullmatch(value):
        raise ValueError("write a size like 256mb or 1gb")
    return value


def _directory(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError('write a directory, like "/var/lib/gatepost"')
    return value


def _mail_domain(value: str) -> str:
    """What stands behind an ``@`` or before a backslash."""
    if not value.isprintable() or any(each in " @\\" for each in value):
        raise ValueError(f"{value!r} is no domain: write it like corp.example, without @, backslash or blanks")
    return value


def _mail_domains(value: dict[str, str]) -> dict[str, str]:
    for name, domain in value.items():
        if not name or not domain:
            raise ValueError('no domain has an empty name: write it like { CORP = "corp.example" }')
        _mail_domain(name)
        _mail_domain(domain)
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("write it on one line, without characters that cannot be seen")
    return value


def _doveadm(value: str) -> str:
    if not value:
        return ""
    remedy = "write scheme, host and port of Dovecot's doveadm listener, like http://127.0.0.1:8074"
    parts = server_url(value, remedy)
    if parts.username is not None:
        raise ValueError(f"the key stands in key_file: {remedy}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError(f"{value!r} is no such address: {remedy}")
    return value.rstrip("/")


def _cut_command(value: list[str]) -> list[str]:
    remedy = 'write the program with its whole path and {user} as a word, like ["/usr/bin/doveadm", "kick", "{user}"]'
    if not value:
        return value
    if not value[0].startswith("/") or value.count("{user}") != 1:
        raise ValueError(remedy)
    if any("{user}" in word and word != "{user}" for word in value):
        raise ValueError(f"a user's name is a word of its own, never a part of one: {remedy}")
    return value


def _runtime(value: str) -> str:
    remedy = "write HAProxy's stats socket, like unix:///run/haproxy/gatepost.sock or tcp://127.0.0.1:9999"
    parts = split_url(value, remedy)
    by_path = parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1 and not parts.query
    by_port = parts.scheme == "tcp" and parts.hostname and parts.port and parts.path in ("", "/")
    if not by_path and not by_port:
        raise ValueError(f"{value!r} is no such place: {remedy}")
    return value.rstrip("/")


def _map_path(value: str) -> str:
    if value and not re.fullmatch(r"/[A-Za-z0-9._/@+-]{1,200}", value):
        raise ValueError(
            "write the map's path as it stands in haproxy.cfg, like /etc/haproxy/gatepost.map (letters, digits, ._/@+-)"
        )
    return value


_HTTP = AfterValidator(_listener("http", "https", example="http://127.0.0.1:8080"))

_IMAP = AfterValidator(_listener("imap", "imaps", example="imaps://127.0.0.1:993"))
_POP3 = AfterValidator(_listener("pop3", "pop3s", example="pop3s://127.0.0.1:995"))
_SMTP = AfterValidator(_listener("smtp", "smtps", example="smtps://127.0.0.1:465"))

_ASKERS = AfterValidator(_asker_listener("http", "https", example="http://127.0.0.1:8070"))
_POSTFIX = AfterValidator(_asker_listener("tcp", example="tcp://127.0.0.1:8072"))
_HAPROXY = AfterValidator(_asker_listener("tcp", example="tcp://127.0.0.1:8071"))
_ENVOY = AfterValidator(_asker_listener("grpc", "grpcs", example="grpc://127.0.0.1:8073"))

Listeners = Annotated[list[Annotated[str, _HTTP]], BeforeValidator(listed)]
ImapListeners = Annotated[list[Annotated[str, _IMAP]], BeforeValidator(listed)]
Pop3Listeners = Annotated[list[Annotated[str, _POP3]], BeforeValidator(listed)]
SmtpListeners = Annotated[list[Annotated[str, _SMTP]], BeforeValidator(listed)]
AskerListeners = Annotated[list[Annotated[str, _ASKERS]], BeforeValidator(listed)]
PostfixListeners = Annotated[list[Annotated[str, _POSTFIX]], BeforeValidator(listed)]
HaproxyListeners = Annotated[list[Annotated[str, _HAPROXY]], BeforeValidator(listed)]
EnvoyListeners = Annotated[list[Annotated[str, _ENVOY]], BeforeValidator(listed)]
Files = Annotated[list[str], BeforeValidator(listed)]
_Place = Annotated[str, AfterValidator(_where)]
Places = Annotated[dict[Literal["imap", "pop3", "smtp"], _Place], BeforeValidator(_mapped)]
Asker = Literal["nginx", "forward", "envoy", "nginx_mail", "dovecot", "postfix"]
DoveadmUrl = Annotated[str, AfterValidator(_doveadm)]
CutCommand = Annotated[list[str], AfterValidator(_cut_command)]
RuntimeUrls = Annotated[list[Annotated[str, AfterValidator(_runtime)]], BeforeValidator(listed)]
MapPath = Annotated[str, AfterValidator(_map_path)]
ImapServer = Annotated[str, AfterValidator(_mail_protocol_server("imap"))]
Pop3Server = Annotated[str, AfterValidator(_mail_protocol_server("pop3"))]
SmtpServer = Annotated[str, AfterValidator(_mail_protocol_server("smtp"))]
HostName = Annotated[str, AfterValidator(_host_name)]
MailServers = Annotated[list[Annotated[str, AfterValidator(_mail_server)]], BeforeValidator(listed)]
Openings = Annotated[list[Annotated[str, AfterValidator(_opening)]], BeforeValidator(listed)]
CookieOpenings = Annotated[list[Annotated[str, AfterValidator(_cookie_opening)]], BeforeValidator(listed)]
BoundRules = Annotated[list[Literal["ews", "mapi", "owa"]], BeforeValidator(listed)]
ServedPaths = Annotated[list[Annotated[str, AfterValidator(_served_path)]], BeforeValidator(listed)]
Networks = Annotated[list[Annotated[str, AfterValidator(_network)]], BeforeValidator(listed)]
FreezeHours = Annotated[list[Annotated[str, AfterValidator(_frozen)]], BeforeValidator(listed)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
DemandedOf = Annotated[
    dict[
        Literal["activesync", "webmail", "imap", "pop3", "smtp"],
        Literal["none", "certificate", "credential", "either"],
    ],
    BeforeValidator(_mapped),
    AfterValidator(_demanded),
]
Form = Annotated[str, AfterValidator(_form)]
AskerKinds = Annotated[
    list[Literal["nginx", "forward", "traefik", "haproxy", "nginx_mail", "envoy"]], BeforeValidator(listed)
]
DomainNames = Annotated[dict[str, str], BeforeValidator(_mapped), AfterValidator(_mail_domains)]
MailDomain = Annotated[str, AfterValidator(_mail_domain)]
OneLine = Annotated[str, AfterValidator(_one_line)]
PublicUrl = Annotated[str, AfterValidator(_public)]
RedisUrl = Annotated[str, AfterValidator(_redis)]
StorageUrl = Annotated[str, AfterValidator(_storage)]
WebhookUrl = Annotated[str, AfterValidator(_webhook)]
WebhookSecret = Annotated[str, AfterValidator(_webhook_secret)]
MemorySize = Annotated[str, AfterValidator(_memory)]
Directory = Annotated[str, AfterValidator(_directory)]


def _notice_address(value: str) -> str:
    if value and not is_address(value):
        raise ValueError("write an address like notices@corp.example, without a name or angle brackets")
    return value


def _notice_server(value: str) -> str:
    remedy = "write smtp+starttls://HOST:25, smtps://HOST, or ews+https://HOST/EWS/Exchange.asmx"
    if not value.startswith("ews"):
        return _mail_protocol_server("smtp")(value)
    parts = server_url(value, remedy)
    if parts.username is not None:
        raise ValueError(f"it holds no user name, that is [notices] username: {remedy}")
    if parts.scheme != "ews+https" or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{value!r} is no server that takes notices: {remedy}")
    return value if parts.path.strip("/") else f"{value.rstrip('/')}/EWS/Exchange.asmx"


def _token_url(value: str) -> str:
    if not value:
        return ""
    remedy = "write it like https://login.microsoftonline.com/TENANT/oauth2/v2.0/token"
    parts = server_url(value, remedy)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError(f"tokens are asked for by https, without a user name in the address: {remedy}")
    return value


NoticeAddress = Annotated[str, AfterValidator(_notice_address)]
NoticeServer = Annotated[str, AfterValidator(_notice_server)]
TokenUrl = Annotated[str, AfterValidator(_token_url)]
Number = BeforeValidator(_no_truth_value)
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False), Number]
Count = Annotated[int, Field(gt=0), Number]
