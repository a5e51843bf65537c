"""A checkpoint: "this log has so many entries and this root", signed, in a form that others' tools read.

It is a signed note with three lines (C2SP tlog-checkpoint and signed-note): origin, size, root in base64; an empty
line; ``— name base64(key id, signature)``. Signatures of keys that are not known are passed over, so that keys can be
exchanged and witnesses can sign as well. The signing itself is others' work (``audit.keys``): this is text.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.domain.audit.chain import AuditHead
from gateway.domain.errors import InvalidValue

NOTE_BYTES = 8_192
_ED25519 = b"\x01"
_SIGNATURE = re.compile(r"— ([^ +]+) ([A-Za-z0-9+/=]+)\Z")
_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,17})\Z")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a log's key, under the log's name: ``name+hexadecimal id+base64``."""

    name: str
    public: bytes
    """Ed25519, 32 octets."""

    @property
    def id(self) -> bytes:
        """The first four octets of a hash of name and key, as the note format says."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        encoded = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"


def verifier_key(text: str) -> VerifierKey:
    """A key from its text. Raises ``InvalidValue``."""
    name, _, rest = text.strip().partition("+")
    stated, _, encoded = rest.partition("+")
    try:
        octets = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    key = VerifierKey(name, octets[1:])
    if not name or octets[:1] != _ED25519 or len(octets) != 33 or key.id.hex() != stated:
        raise InvalidValue(
            "this is no key of an audit log: it looks like gatepost/NAME+0123abcd+AQ…, as in data_dir/audit-key.pub"
        )
    return key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature of a note."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a signed note says, whoever signed it."""

    origin: str
    size: int
    root: bytes
    signatures: tuple[NoteSignature, ...] = ()

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def checkpoint_of(head: AuditHead) -> Checkpoint:
    """What is to be signed of a log as it stands."""
    return Checkpoint(head.origin, head.size, head.root)


def note_of(checkpoint: Checkpoint, key: VerifierKey, signature: bytes) -> str:
    """The note with the signature of ``checkpoint.text`` under ``key``."""
    signed = base64.b64encode(key.id + signature).decode()
    return f"{checkpoint.text}\n— {key.name} {signed}\n"


def read_note(text: str) -> Checkpoint:
    """What a note says. Raises ``InvalidValue`` for one that is none; signatures are not verified here."""
    if len(text.encode("utf-8", "replace")) > NOTE_BYTES:
        raise InvalidValue(f"a checkpoint has at most {NOTE_BYTES} octets")
    body, empty, signed = text.partition("\n\n")
    lines = body.split("\n")
    if len(lines) < 3 or not empty or not lines[0] or not _SIZE.match(lines[1]):
        raise InvalidValue("this is no checkpoint: origin, size and root, an empty line, then signatures")
    if len(lines) > 3:
        raise InvalidValue("this checkpoint has further lines, which Gatepost writes none of")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != 32:
        raise InvalidValue("this is no checkpoint: its root is no SHA-256 in base64")
    return Checkpoint(lines[0], int(lines[1]), root, tuple(_signatures(signed.splitlines())))


def _signatures(lines: Iterable[str]) -> Iterator[NoteSignature]:
    for line in lines:
        found = _SIGNATURE.match(line)
        if found is None:
            raise InvalidValue("this is no checkpoint: a line of a signature begins with a dash, a blank and a name")
        try:
            octets = base64.b64decode(found[2], validate=True)
        except (binascii.Error, ValueError):
            octets = b""
        if len(octets) < 5:
            raise InvalidValue("this is no checkpoint: a signature is no base64")
        yield NoteSignature(found[1], octets[:4], octets[4:])


def read_notes(text: str) -> list[Checkpoint]:
    """All checkpoints of a file: notes one after another, or lines of the gateway's JSON log that hold one each.

    Raises ``InvalidValue`` for a file in which there are none, or one that cannot be read.
    """
    found = [read_note(note) for note in [*_from_log_lines(text), *_bare_notes(text)]]
    if not found:
        raise InvalidValue(
            "there is no checkpoint in it: signed notes, or lines of the log with event audit_checkpoint"
        )
    return found


def _from_log_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict) and isinstance(said.get("note"), str):
            yield said["note"]


def _bare_notes(text: str) -> Iterator[str]:
    """A note ends with the last of its signatures."""
    waiting: list[str] = []
    for line in text.splitlines():
        if line.startswith("{"):
            continue
        if waiting and waiting[-1].startswith("— ") and not line.startswith("— "):
            yield "\n".join(waiting) + "\n"
            waiting = []
        if line or waiting:
            waiting.append(line)
    if waiting and "— " in "\n".join(waiting):
        yield "\n".join(waiting) + "\n"
