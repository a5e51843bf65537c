"""The past of an inventory device: what takes a state back to the one before it, and many of these in a row.

The newest state is kept whole, so what is kept of the past are steps backwards: which fields stood otherwise, and which
apps went, with the places of all. A report that changes nothing but its moment is a step of some forty octets. Taken
back, a state equals the one that was, the order of its apps included: which of two banned apps a refusal names goes by
it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.domain.inventory import App, Inventory, Naming, Scope

GONE = -1
"""In ``places``: the next one of the apps that went."""

FIELDS = (
    "scope",
    "naming",
    "generated_at",
    "received_at",
    "sequence",
    "full_at",
    "boot_id",
    "device_keys",
    "ownership",
    "compromised",
    "compliant",
    "os_version",
    "platform",
    "suspicious",
    "suspicious_at",
)
"""Of an inventory beside its key and its apps. Stored by their places here: further ones come at the end."""


@dataclass(frozen=True, slots=True)
class Undo:
    """What takes a state of an inventory device back to the one before it."""

    fields: Mapping[str, Any]
    """Those of ``FIELDS`` that stood otherwise, with what stood there."""
    removed: tuple[App, ...] = ()
    """Apps that were there and went, in their order."""
    places: tuple[int, ...] | None = None
    """For each app that was there its place in the later state, or ``GONE``; None: the same apps in the same order."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of what is stored of an inventory device."""

    at: float
    """When it was stored, epoch seconds: from then on the later state counts."""
    undo: Undo | None
    """None: before it nothing was stored."""


def undo_of(before: Inventory, after: Inventory | None) -> Undo:
    """What leads from ``after`` back to ``before``; ``after`` None: the device was forgotten."""
    later = after or _nothing(before)
    fields = {name: was for name in FIELDS if (was := getattr(before, name)) != getattr(later, name)}
    if before.apps == later.apps:
        return Undo(fields)
    place_of = {app: place for place, app in enumerate(later.apps)}
    places = tuple([place_of.get(app, GONE) for app in before.apps])
    return Undo(fields, tuple([app for app in before.apps if app not in place_of]), places)


def undone(after: Inventory, undo: Undo) -> Inventory:
    """The state before. Raises ``ValueError`` for an undo that belongs to another state."""
    apps = after.apps
    if undo.places is not None:
        removed = iter(undo.removed)
        try:
            apps = tuple([next(removed) if place == GONE else after.apps[place] for place in undo.places])
        except (IndexError, StopIteration) as error:
            raise ValueError("the apps of a state do not fit what is kept of the one before") from error
    return replace(after, apps=apps, **undo.fields)


def state_before(
    present: Inventory | None, steps: Iterable[Step], source_id: str, source_device: str
) -> Inventory | None:
    """The state before all of ``steps`` (the newest first), which lead to ``present``. Raises ``ValueError``."""
    state = present
    for step in steps:
        state = None if step.undo is None else undone(state or _blank(source_id, source_device), step.undo)
    return state


def _nothing(of: Inventory) -> Inventory:
    return _blank(of.source_id, of.source_device)


def _blank(source_id: str, source_device: str) -> Inventory:
    """Stands for nothing, so that an undo always begins somewhere. What it holds is stored nowhere."""
    return Inventory(source_id, source_device, Scope.NONE, Naming.IDENTIFIER, 0.0, 0.0, 0, ())
