"""``gatepost backup``: a snapshot of the database into one file, beside a gateway that runs or without one."""

import asyncio
from importlib import metadata
from pathlib import Path

from gateway.app.parts import storage_url_of
from gateway.domain.errors import DomainError
from gateway.ports.store import StoreUnavailable
from gateway.settings import Settings
from gateway.storage.backup_file import Tick
from gateway.storage.sql.backups import WrittenBackup, write_backup


def backup(settings: Settings, path: Path, now: float, tick: Tick) -> WrittenBackup:
    """Write a backup to ``path``. Raises ``DomainError`` with one sentence; nothing is left at ``path`` then."""
    try:
        return asyncio.run(write_backup(storage_url_of(settings), path, metadata.version("gatepost"), now, tick))
    except StoreUnavailable as error:
        raise DomainError(str(error)) from None
    except OSError as error:
        raise DomainError(
            f"{path} cannot be written ({error.strerror}): name a file in a directory that this user may write, "
            "with room enough"
        ) from None
