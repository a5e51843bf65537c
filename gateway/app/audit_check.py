"""``gatepost audit verify``: reads the log in the database itself, beside a gateway that runs or without one.

Not by the admin API: who doubts the gateway does not ask it. What is needed from this machine is the database and, for
the seals, the key file; an auditor elsewhere brings a copy of the database, the public key and checkpoints.
"""

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.app.parts import data_dir_of, storage_url_of
from gateway.audit.keys import AuditKey, Seals, find_key
from gateway.audit.verification import Tick, verified
from gateway.domain.audit.checkpoint import Checkpoint, VerifierKey, read_notes, verifier_key
from gateway.domain.audit.comparing import Verification
from gateway.domain.errors import DomainError, InvalidValue
from gateway.ports.store import StoreUnavailable
from gateway.settings import Settings
from gateway.storage.sql import SchemaMismatch, open_store

CHECKPOINT_FILE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found, and what it was found with."""

    verification: Verification
    keys: tuple[VerifierKey, ...]
    seals_looked_at: bool
    outside: int
    """Checkpoints from outside."""


def check_audit(settings: Settings, files: Sequence[Path], keys: Sequence[str], tick: Tick) -> Checked:
    """Verify the whole log. Raises ``DomainError`` with one sentence."""
    outside = [checkpoint for file in files for checkpoint in _read(file)]
    given = [verifier_key(text) for text in keys]
    own = find_key(data_dir_of(settings))
    try:
        return asyncio.run(_check(settings, outside, given, own, tick))
    except (StoreUnavailable, SchemaMismatch) as error:
        raise DomainError(str(error)) from None


async def _check(
    settings: Settings, outside: Sequence[Checkpoint], given: Sequence[VerifierKey], own: AuditKey | None, tick: Tick
) -> Checked:
    store = await open_store(storage_url_of(settings), writable=False)
    try:
        # Or the collector looks at all that is loaded again and again while millions of rows pass: a third of the time.
        gc.freeze()
        async with store.read() as reading:
            origin = (await reading.audit_head()).origin
            keys = tuple(dict.fromkeys([*given, *([own.verifier(origin)] if own else [])]))
            seals = Seals(own, [key.public for key in given]) if own else None
            found = await verified(reading, keys, seals, outside, tick)
    finally:
        gc.unfreeze()
        await store.close()
    return Checked(found, keys, own is not None, len(outside))


def _read(file: Path) -> list[Checkpoint]:
    try:
        with file.open("rb") as opened:
            octets = opened.read(CHECKPOINT_FILE_BYTES + 1)
    except OSError as error:
        raise DomainError(f"{file} cannot be read ({error.strerror}): name a file with checkpoints") from None
    if len(octets) > CHECKPOINT_FILE_BYTES:
        raise DomainError(f"{file} is larger than {CHECKPOINT_FILE_BYTES >> 20} MiB: give the newest checkpoints only")
    try:
        return read_notes(octets.decode("utf-8", "replace"))
    except InvalidValue as error:
        raise DomainError(f"{file}: {error}") from None
