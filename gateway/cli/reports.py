"""``gatepost report``: sends an inventory report by hand, as an agent of a push source does.

One CloudEvent per file, signed by Standard Webhooks. A file that is complete travels octet by octet as it is; its
``webhook-id`` follows from the event's source and id, so the same file sent twice is one report.
"""

import gzip
import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import uuid4

import typer

from gateway.cli.address import Address, listening, settings_of
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import Failed
from gateway.cli.receiver_client import deliver
from gateway.domain.errors import InvalidValue

app = group("Inventory reports, sent by hand.")

SECRET_VARIABLE = "GATEPOST_SOURCE_SECRET"  # noqa: S105  (the name of it)
LONGEST = 4 << 20
"""Octets: what the receiver takes once unpacked."""
PACKED_FROM = 256 << 10
"""Octets from which a report travels as gzip: the receiver takes 1 MiB as it travels."""


@command(app, "send")
def send(
    desk: Desk,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One CloudEvent as JSON; - for standard input.")],
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="The source that reports.")],
    secret_file: Annotated[
        Path | None,
        typer.Option("--secret-file", metavar="FILE", help=f"Holds its secret; else {SECRET_VARIABLE} is the secret."),
    ] = None,
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="Where reports are received; this machine's gateway without it.")
    ] = "",
) -> None:
    """Sign one inventory report and send it to the gateway.

    The report is a CloudEvent whose data lists the apps of one device. A missing id or time is filled in. The secret
    (whsec_…, or whsk_… of an ed25519 pair) is what gatepost source add showed; it is never an option, because others on
    this machine can read options. Sending the same file again is safe: it counts once. The form of a report is told by
    the gateway itself, at /inventory/v1/openapi.json where reports are received.

    \b
    Examples:
      gatepost report send report.json --source agents --secret-file agents.secret
      gatepost report send report.json --source agents --json    # with GATEPOST_SOURCE_SECRET set
      make-report | gatepost report send - --source agents --url https://gatepost.example:8091
    """
    secret = _secret(secret_file)
    event = _event(file)
    for sentence in event.filled_in:
        desk.note(sentence)
    packed = len(event.octets) >= PACKED_FROM
    # Without a time of packing: the same file must give the same octets.
    body = gzip.compress(event.octets, mtime=0) if packed else event.octets
    headers = {"gatepost-source": source, **_signed(event.message_id, body, secret)}
    if packed:
        headers["Content-Encoding"] = "gzip"
    answer = deliver(_address(desk, url), body, headers, source)
    desk.show({**answer, "id": event.id}, text=_told(answer))
    for sentence in _warnings(answer, source):
        desk.warn(sentence)


def _secret(file: Path | None) -> str:
    if file is None:
        secret = os.environ.get(SECRET_VARIABLE, "").strip()
        if not secret:
            raise Failed(
                f"no secret: name the file that holds it with --secret-file, or set {SECRET_VARIABLE};"
                " gatepost source add showed it, gatepost source rotate makes another"
            )
        return secret
    try:
        return file.read_text("utf-8").strip()
    except OSError as error:
        raise Failed(f"{file} cannot be read ({error.strerror}): name the file that holds the secret") from None
    except UnicodeDecodeError:
        raise Failed(f"{file} is no text: name the file that holds the secret") from None


@dataclass(frozen=True, slots=True)
class _Event:
    """A CloudEvent on its way."""

    octets: bytes
    id: str
    message_id: str
    filled_in: tuple[str, ...]


def _event(file: Path) -> _Event:
    """The CloudEvent of a file, complete. Raises ``Failed``."""
    octets = _read(file)
    name = "standard input" if str(file) == "-" else str(file)
    value = _parsed(octets, name)
    if not isinstance(value, dict):
        what = "a list: send each report on its own" if isinstance(value, list) else "no object"
        raise Failed(f"{name} is {what}; a report is one CloudEvent, a JSON object")
    filled_in = []
    if "id" not in value:
        value["id"] = str(uuid4())
        filled_in.append(f"the event has no id: sent as {value['id']}, and as another one each time")
    if "time" not in value:
        value["time"] = _moment_of(value)
        filled_in.append(f"the event has no time: sent with {value['time']}")
    if filled_in:
        octets = json.dumps(value).encode()
    return _Event(octets, str(value["id"]), _message_id(value), tuple(filled_in))


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            octets = sys.stdin.buffer.read(LONGEST + 1)
        else:
            with file.open("rb") as opened:
                octets = opened.read(LONGEST + 1)
    except OSError as error:
        raise Failed(f"{file} cannot be read ({error.strerror}): name a file that holds a report") from None
    if len(octets) > LONGEST:
        raise Failed(f"{file} has more than {LONGEST} octets: the gateway takes no report of that size")
    return octets


def _parsed(octets: bytes, name: str) -> object:
    # Here and below, because the signature's library need not be loaded for every other command.
    from gateway.inventory.sources.push.bodies import parsed

    try:
        return parsed(octets)
    except InvalidValue as error:
        sentence = str(error).replace("the body", name, 1)
        hint = ": one report per file" if "Extra data" in sentence else ""
        raise Failed(f"{sentence}{hint}") from None


def _moment_of(value: dict[str, Any]) -> str:
    """The moment the report is of (CloudEvents 1.0 "time"), so that the same file stays the same message."""
    inner = value.get("data")
    generated_at = inner.get("generated_at") if isinstance(inner, dict) else None
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return generated_at if isinstance(generated_at, str) else now


def _message_id(value: dict[str, Any]) -> str:
    """``webhook-id``: source and id together name an event (CloudEvents 1.0 §3.1), and an id may hold any character."""
    named = json.dumps([value.get("source"), value["id"]]).encode()
    return f"evt_{hashlib.sha256(named).hexdigest()[:40]}"


def _signed(message_id: str, body: bytes, secret: str) -> dict[str, str]:
    from gateway.inventory.sources.push.signatures import sign

    now = int(time.time())
    try:
        signature = sign(message_id, now, body, secret)
    except InvalidValue as error:
        raise Failed(f"the secret cannot sign: {error}") from None
    return {"webhook-id": message_id, "webhook-timestamp": str(now), "webhook-signature": signature}


def _address(desk: Desk, url: str) -> Address:
    """Where the receiver is. Raises ``Failed``."""
    if url:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise Failed(f"--url {url!r} is no URL: write it like https://gatepost.example:8091")
        return Address(url.rstrip("/"), "")
    if os.environ.get("GATEPOST_URL"):
        raise Failed(
            "GATEPOST_URL names the admin API of another machine: say where reports are received with --url,"
            " like --url https://gatepost.example:8091"
        )
    settings = settings_of(desk.config)
    certificate = Path(settings.tls.certificate) if settings.tls.certificate else None
    return Address(listening(settings, "inventory"), "", certificate)


def _told(answer: dict[str, Any]) -> str:
    sequence, within = answer.get("sequence"), answer.get("next_report_seconds")
    if answer["status"] == "duplicate":
        return f"duplicate: this very report was sent before; nothing changed, the device stands at sequence {sequence}"
    if answer["status"] == "stale_ignored":
        return f"stale_ignored: a newer report of the device is stored (sequence {sequence}); nothing changed"
    due = f"; the next full list is due within {within / 3600:g} h" if isinstance(within, (int, float)) else ""
    return f"applied: the device stands at sequence {sequence}{due}"


def _warnings(answer: dict[str, Any], source: str) -> list[str]:
    found = []
    if answer.get("scope_capped_to"):
        found.append(f"it counts with scope {answer['scope_capped_to']}, the widest that source {source} may claim")
    if answer.get("suspicious"):
        found.append("the list shrank unbelievably: the apps known before are kept until a believable one comes")
    if answer.get("ignored_ids"):
        found.append(f"no user name or DeviceId, and left out: {', '.join(answer['ignored_ids'])}")
    return found
