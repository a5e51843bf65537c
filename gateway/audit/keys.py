"""The key of the audit log: it signs checkpoints (Ed25519) and seals entries (HMAC-SHA256).

It lies in a file beside the database and never in it, so that whoever can only write the database can neither sign
nor seal: what he writes, or writes anew, is seen to be without the key. Whoever has the file can do both; that shows
only by a checkpoint that left the machine before. The public half is text (``audit-key.pub``), to be kept elsewhere.
"""

import hmac
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gateway.domain.audit.checkpoint import Checkpoint, VerifierKey, note_of
from gateway.domain.audit.stored import SEAL_BYTES
from gateway.domain.errors import DomainError

KEY_FILE = "audit-key"
PUBLIC_FILE = "audit-key.pub"
KEY_FILE_BYTES = 4_096
_SEAL_ID_BYTES = 4


@dataclass(frozen=True, slots=True, repr=False)
class AuditKey:
    """The private key; it has no text."""

    private: Ed25519PrivateKey
    public: bytes
    seal_id: bytes
    seal_key: bytes

    def seal(self, chain: bytes) -> bytes:
        """What is stored beside an entry: which key, and that it was at hand."""
        return self.seal_id + hmac.digest(self.seal_key, chain, "sha256")[: SEAL_BYTES - _SEAL_ID_BYTES]

    def note(self, checkpoint: Checkpoint) -> str:
        """The signed note."""
        return note_of(checkpoint, self.verifier(checkpoint.origin), self.private.sign(checkpoint.text.encode()))

    def verifier(self, origin: str) -> VerifierKey:
        """The public half for a log of that name."""
        return VerifierKey(origin, self.public)


def audit_key(private: Ed25519PrivateKey) -> AuditKey:
    """All that follows from the private key."""
    seed = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    seal_key = hmac.digest(seed, b"gatepost audit seal", "sha256")
    return AuditKey(private, public, seal_id_of(public), seal_key)


def seal_id_of(public: bytes) -> bytes:
    """How seals name their key."""
    return hmac.digest(public, b"gatepost audit seal", "sha256")[:_SEAL_ID_BYTES]


def find_key(data_dir: Path) -> AuditKey | None:
    """The key of this machine; None: it has none yet. Raises ``DomainError`` for a file that cannot be used."""
    path = data_dir / KEY_FILE
    try:
        with path.open("rb") as file:
            pem = file.read(KEY_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DomainError(
            f"the key of the audit log {path} cannot be read ({error.strerror}): let the gateway's user read it"
        ) from None
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise DomainError(
            f"{path} is no key of an audit log (Ed25519 in PEM): put the right one back from a copy, or remove it and "
            "a new one is made"
        )
    return audit_key(private)


def find_or_make_key(data_dir: Path) -> tuple[AuditKey, bool]:
    """The key of this machine, made where there is none; whether it was made. Raises ``DomainError``."""
    if (found := find_key(data_dir)) is not None:
        return found, False
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        _write(data_dir / KEY_FILE, pem, 0o600)
    except FileExistsError:
        # Another process of this machine was first.
        return find_or_make_key(data_dir)
    except OSError as error:
        raise DomainError(
            f"the key of the audit log {data_dir / KEY_FILE} cannot be written ({error.strerror}): let this user write "
            "there"
        ) from None
    return audit_key(private), True


def write_public(data_dir: Path, key: VerifierKey) -> None:
    """Put the public half where it can be copied from. Raises ``OSError``."""
    path = data_dir / PUBLIC_FILE
    text = f"{key}\n".encode()
    if not path.exists() or path.read_bytes() != text:
        path.unlink(missing_ok=True)
        _write(path, text, 0o644)


def _write(path: Path, octets: bytes, mode: int) -> None:
    """Whole or not at all; raises ``FileExistsError`` where there is one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature is right."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Seals:
    """Tells whether seals are right, with the private key that is at hand."""

    def __init__(self, own: AuditKey, others: Iterable[bytes] = ()) -> None:
        """``others``: public keys that count as well; what they have sealed cannot be looked at here."""
        self._id, self._key = own.seal_id, own.seal_key
        self._others = {seal_id_of(public) for public in others} - {own.seal_id}

    def __call__(self, chain: bytes, seal: bytes) -> bool | None:
        """Whether it is the seal for that chain; None: of one of the others."""
        if seal[:_SEAL_ID_BYTES] == self._id:
            made = hmac.digest(self._key, chain, "sha256")[: SEAL_BYTES - _SEAL_ID_BYTES]
            return hmac.compare_digest(made, seal[_SEAL_ID_BYTES:])
        return None if len(seal) == SEAL_BYTES and seal[:_SEAL_ID_BYTES] in self._others else False
