"""``gatepost check --asker``: asks the running gateway what that asker would ask, and says the answer in words.

The question goes to the configured listener with the configured key, as the example's configuration makes it. It is a
real one: it is judged, counted and, if refused, written down. No password is sent: an asker's question holds none that
we look at, and the mail server is not asked.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from gateway.app.asker_names import AskerName
from gateway.app.parts import data_dir_of
from gateway.domain.errors import DomainError
from gateway.protocols.authz import spop_asker
from gateway.protocols.lines import Unframeable
from gateway.runtime.sockets import LISTENING_FILE
from gateway.settings import Settings

SECONDS: Final = 5.0
ANSWER_LONGEST: Final = 64 << 10
MESSAGE: Final = b"gatepost-http"
_SOMEWHERE: Final = "192.0.2.1"
"""As the client's address (RFC 5737: nobody's)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back."""

    listener: str
    verdict: str
    """allow, deny, defer; empty: none was given."""
    facts: Mapping[str, str]
    """What was said besides, by its own names."""
    sentence: str


@dataclass(frozen=True, slots=True)
class _Question:
    part: str
    octets: bytes
    is_whole: Callable[[bytes], bool]
    read: Callable[[bytes], tuple[str, dict[str, str]]]


def check_asker(settings: Settings, name: AskerName, user: str, device: str) -> Answered:
    """Ask. Raises ``DomainError`` where nobody listens, or nobody answers."""
    if not (user.isprintable() and device.isprintable()):
        raise DomainError("the user's name or the DeviceId holds control characters")
    key = _key(settings)
    question = _QUESTIONS[name](user, device, key)
    urls = _where(settings, question.part)
    if not urls:
        raise DomainError(
            f"[{question.part}] listen is empty: {name} has nowhere to ask; set it, and restart the gateway"
        )
    if not key and not urls[0].startswith("unix:"):
        raise DomainError(
            "[authz] key_files is empty: without a key this listener answers only who shows a certificate"
        )
    octets = asyncio.run(_asked(settings, urls[0], question))
    try:
        verdict, facts = question.read(octets)
    except (ValueError, IndexError, KeyError, Unframeable) as error:
        raise DomainError(f"{urls[0]} answers something that {name} would not understand ({error})") from None
    return Answered(urls[0], verdict, facts, _sentence(name, verdict, facts, device))


def _where(settings: Settings, part: str) -> list[str]:
    """The listeners as they are, where the gateway says so: a port may be any."""
    configured: list[str] = getattr(settings, part).listen
    try:
        found = json.loads((data_dir_of(settings) / LISTENING_FILE).read_text("utf-8")).get(part)
    except (OSError, ValueError, AttributeError):
        return configured
    return found if configured and isinstance(found, list) else configured


def _key(settings: Settings) -> str:
    if not settings.authz.key_files:
        return ""
    file = settings.authz.key_files[0]
    try:
        return Path(file).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise DomainError(f"[authz] key_files {file} cannot be read: run this as the gateway's user") from None


def _sentence(name: AskerName, verdict: str, facts: Mapping[str, str], device: str) -> str:
    where = f"this device ({device})" if device and name in _WITH_DEVICE else "all devices of the user"
    match verdict:
        case "allow" if facts.get("reason") == "not_asked":
            return "let through without a verdict: the question names nobody"
        case "allow":
            return f"let in; judged by {where}"
        case "deny":
            return f"refused; judged by {where}; gatepost why says by which rule"
        case "defer" if name in _STRANGERS_ARE_PUT_OFF:
            return "cannot know now, or this is not the key that the running gateway has read (its log says which)"
        case "defer":
            return "cannot know now: the client is told to come back later"
    return "no verdict: is this the key that the running gateway has read?"


# --- on the wire


async def _asked(settings: Settings, url: str, question: _Question) -> bytes:
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await _connected(settings, url)
            try:
                writer.write(question.octets)
                return await _whole(reader, question.is_whole)
            finally:
                writer.close()
    except TimeoutError:
        raise DomainError(f"{url} does not answer within {SECONDS:.0f} s: is it Gatepost that listens there?") from None
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise DomainError(f"{url} cannot be asked ({reason}): does the gateway run with these settings?") from None


async def _connected(settings: Settings, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return await asyncio.open_unix_connection(parts.path)
    if not parts.port:
        raise DomainError(f"{url} has no port of its own: write one into listen, and restart the gateway")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(parts.hostname or "", parts.hostname)  # noqa: S104
    context = _own_certificate(settings) if parts.scheme == "https" else None
    return await asyncio.open_connection(host, parts.port, ssl=context)


def _own_certificate(settings: Settings) -> ssl.SSLContext:
    """Believes the very certificate that our listeners show, whoever has issued it and whatever names it has."""
    if settings.authz.client_ca:
        raise DomainError(
            "[authz] client_ca: this listener wants a certificate of the asker, which is not at hand here"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(settings.tls.certificate)
    return context


async def _whole(reader: asyncio.StreamReader, is_whole: Callable[[bytes], bool]) -> bytes:
    octets = b""
    while not is_whole(octets):
        piece = await reader.read(ANSWER_LONGEST)
        octets += piece
        if not piece or len(octets) > ANSWER_LONGEST:
            break
    return octets


# --- questions, as the examples' configurations make them


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:".encode()).decode()


def _sync(user: str, device: str) -> str:
    who = f"User={quote(user, safe='@')}&DeviceId={quote(device or 'GATEPOSTCHECK', safe='')}"
    return f"/Microsoft-Server-ActiveSync?Cmd=FolderSync&{who}&DeviceType=Check"


def _http(path: str, *lines: str, key: str, user: str = "", method: str = "GET", body: bytes = b"") -> bytes:
    said = [f"{method} {path} HTTP/1.1", "Host: gatepost", "Connection: close", *lines]
    said += [f"X-Gatepost-Key: {key}"] if key else []
    said += [f"Authorization: {_basic(user)}"] if user else []
    said += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join((*said, "", "")).encode("utf-8") + body


def _never(_: bytes) -> bool:
    """Whole with the connection's end."""
    return False


def _head(octets: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = octets.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split(" ")[1]), named, body


def _http_answer(octets: bytes) -> tuple[str, dict[str, str]]:
    status, named, _ = _head(octets)
    facts = {"status": str(status)}
    for name in ("reason", "user", "identity", "valid-until"):
        if value := named.get(f"x-gatepost-{name}"):
            facts[name] = value
    return named.get("x-gatepost-verdict", ""), facts


def _nginx(user: str, device: str, key: str) -> _Question:
    lines = (f"X-Original-URI: {_sync(user, device)}", "X-Original-Method: POST", f"X-Client-IP: {_SOMEWHERE}")
    octets = _http("/authz/v1/nginx", *lines, "MS-ASProtocolVersion: 14.1", key=key, user=user)
    return _Question("authz", octets, _never, _http_answer)


def _forwarded(user: str, device: str, key: str, path: str = "/authz/v1/forward") -> _Question:
    lines = (f"X-Forwarded-Uri: {_sync(user, device)}", "X-Forwarded-Method: POST", f"X-Forwarded-For: {_SOMEWHERE}")
    octets = _http(path, *lines, "MS-ASProtocolVersion: 14.1", key=key, user=user)
    return _Question("authz", octets, _never, _http_answer)


def _traefik(user: str, device: str, key: str) -> _Question:
    return _forwarded(user, device, "", f"/authz/v1/traefik/{key}" if key else "/authz/v1/traefik")


def _envoy(user: str, device: str, key: str) -> _Question:
    lines = (f"X-Forwarded-For: {_SOMEWHERE}", "MS-ASProtocolVersion: 14.1")
    octets = _http(f"/authz/v1/envoy{_sync(user, device)}", *lines, key=key, user=user, method="POST")
    return _Question("authz", octets, _never, _http_answer)


def _nginx_mail(user: str, device: str, key: str) -> _Question:
    lines = ("Auth-Method: plain", f"Auth-User: {quote(user, safe='@')}", "Auth-Pass: -", "Auth-Protocol: imap")
    octets = _http("/authz/v1/mail", *lines, "Auth-Login-Attempt: 1", f"Client-IP: {_SOMEWHERE}", key=key)

    def read(answer: bytes) -> tuple[str, dict[str, str]]:
        _, named, _ = _head(answer)
        said = named["auth-status"]
        facts = {"status": said, "server": f"{named.get('auth-server', '')}:{named.get('auth-port', '')}".strip(":")}
        if said == "OK":
            return "allow", facts
        return "defer" if said.startswith("[UNAVAILABLE]") else "deny", facts

    return _Question("authz", octets, _never, read)


def _dovecot(user: str, device: str, key: str) -> _Question:
    said = {"login": user, "user": user, "remote": _SOMEWHERE, "protocol": "imap", "session_id": "check"}
    path = "/authz/v1/dovecot?command=allow"
    octets = _http(path, "Content-Type: application/json", key=key, method="POST", body=json.dumps(said).encode())

    def read(answer: bytes) -> tuple[str, dict[str, str]]:
        said = json.loads(_head(answer)[2])
        facts = {"status": str(said["status"]), "message": str(said["msg"])}
        if said["status"] == 0:
            return "allow", facts
        return "defer" if "cannot answer now" in facts["message"] else "deny", facts

    return _Question("authz", octets, _never, read)


def _haproxy(user: str, device: str, key: str) -> _Question:
    arguments: dict[bytes, bytes | int | None] = {
        b"key": key.encode(),
        b"method": b"POST",
        b"uri": _sync(user, device).encode(),
        b"auth": _basic(user).encode(),
        b"auths": 1,
        b"cookies": 0,
        b"asver": b"14.1",
        b"coding": None,
    }
    octets = spop_asker.hello() + spop_asker.notify(MESSAGE, arguments)

    def read(answer: bytes) -> tuple[str, dict[str, str]]:
        facts = spop_asker.variables(answer)
        said = facts.pop("verdict", "")
        return "deny" if said == "refuse" else said, facts

    return _Question("haproxy", octets, lambda answer: spop_asker.is_whole(answer, 2), read)


def _postfix(user: str, device: str, key: str) -> _Question:
    said = {
        **{"request": "smtpd_access_policy", "protocol_state": "RCPT", "client_address": _SOMEWHERE},
        **{"sasl_username": user, "policy_context": key},
    }
    octets = "".join(f"{name}={value}\n" for name, value in said.items()).encode() + b"\n"

    def read(answer: bytes) -> tuple[str, dict[str, str]]:
        name, _, action = answer.decode("utf-8", "replace").strip().partition("=")
        if name != "action":
            raise ValueError("no action")
        return {"D": "allow", "5": "deny"}.get(action[:1], "defer"), {"action": action}

    return _Question("postfix", octets, lambda answer: answer.endswith(b"\n\n"), read)


_WITH_DEVICE: Final = frozenset(
    (AskerName.NGINX, AskerName.CADDY, AskerName.TRAEFIK, AskerName.ENVOY, AskerName.HAPROXY)
)
_STRANGERS_ARE_PUT_OFF: Final = frozenset((AskerName.NGINX_MAIL, AskerName.DOVECOT, AskerName.POSTFIX))
_QUESTIONS: Final[Mapping[AskerName, Callable[[str, str, str], _Question]]] = {
    AskerName.NGINX: _nginx,
    AskerName.NGINX_MAIL: _nginx_mail,
    AskerName.CADDY: _forwarded,
    AskerName.TRAEFIK: _traefik,
    AskerName.ENVOY: _envoy,
    AskerName.HAPROXY: _haproxy,
    AskerName.DOVECOT: _dovecot,
    AskerName.POSTFIX: _postfix,
}
