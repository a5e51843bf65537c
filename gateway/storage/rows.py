"""Compact rows of the domain's values: positional msgpack arrays, trailing defaults left out.

A field is only ever added at the end, with a default, so that version N and N + 1 read each other's rows. Values are
checked while they are decoded. Equal apps become one object: a fleet has some ten thousand different apps, and
millions of installs.
"""

import sys
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import App, AppOrigin, Platform, Scope

A = TypeVar("A")

DISTINCT_APPS = 200_000
"""Apps remembered for sharing; beyond it the memory of them starts anew (records keep theirs)."""


class Unreadable(Exception):  # noqa: N818
    """Bytes that this version of the code did not write and cannot read."""


DAMAGED = (msgspec.MsgspecError, UnicodeDecodeError)
"""What msgspec raises for bytes that it did not write."""


class AppRow(msgspec.Struct, array_like=True, frozen=True):
    """``App`` as it is written."""

    platform: Platform
    id: str
    name: str = ""
    version: str = ""
    version_code: int | None = None
    publisher: str = ""
    team_id: str = ""
    signers: tuple[str, ...] = ()
    installer: str = ""
    origin: AppOrigin = AppOrigin.UNKNOWN
    system: bool = False


_APP_DEFAULTS: tuple[object, ...] = ("", "", None, "", "", (), "", "unknown", False)
_decoder = msgspec.msgpack.Decoder(AppRow)
_encoder = msgspec.msgpack.Encoder()
_shared_apps: dict[bytes, App] = {}


def app_row(app: App) -> tuple[object, ...]:
    """An app as a positional row."""
    row = (
        app.platform._value_,
        app.id,
        app.name,
        app.version,
        app.version_code,
        app.publisher,
        app.team_id,
        app.signers,
        app.installer,
        app.origin._value_,
        app.system,
    )
    length = len(row)
    while length > 2 and row[length - 1] == _APP_DEFAULTS[length - 3]:
        length -= 1
    return row[:length]


def apps_of(rows: tuple[msgspec.Raw, ...]) -> tuple[App, ...]:
    """Apps from their rows; equal rows give the same object."""
    return tuple([_shared_apps.get(key) or _share(key) for key in map(bytes, rows)])


def _share(key: bytes) -> App:
    row = _decoder.decode(key)
    app = App(
        row.platform,
        row.id,
        row.name,
        sys.intern(row.version),
        row.version_code,
        sys.intern(row.publisher),
        sys.intern(row.team_id),
        row.signers,
        sys.intern(row.installer),
        row.origin,
        row.system,
    )
    if len(_shared_apps) >= DISTINCT_APPS:
        _shared_apps.clear()
    _shared_apps[key] = app
    return app


class TombstoneRow(msgspec.Struct, Generic[A], array_like=True, frozen=True):
    """``Tombstone`` as it is written; ``A`` stands for an app."""

    app: A
    source_id: str
    seen_at: float
    scope: Scope = Scope.DEVICE


def tombstone_row(stone: Tombstone, name: Callable[[App], object] = app_row) -> tuple[object, ...]:
    """A tombstone as a positional row; ``name`` gives what stands for an app."""
    return name(stone.app), stone.source_id, stone.seen_at, stone.scope.value


def tombstones_of(
    rows: tuple[TombstoneRow[A], ...], read: Callable[[tuple[A, ...]], tuple[App, ...]]
) -> tuple[Tombstone, ...]:
    """Tombstones from their rows; ``read`` gives the apps back."""
    return tuple(Tombstone(read((row.app,))[0], row.source_id, row.seen_at, row.scope) for row in rows)


def packed(row: object) -> bytes:
    """A row as bytes. Raises ``ValueError`` for text that is no Unicode (lone surrogates)."""
    return _encoder.encode(row)
