"""What of a source takes two people: one for any device is added, and one is removed with all that it has said.

Whoever signs the reports of the one can call every phone clean, or banned; without what the other has said its hits are
gone at once, and so is what proved everybody else clean. The change that adds one holds no secret: once it is applied,
``gatepost source rotate NAME`` makes one and prints it.
"""

from collections.abc import Mapping
from dataclasses import replace

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import Value
from gateway.domain.change import GuardedAction
from gateway.domain.inventory import Scope
from gateway.ports.store import Conflict, Source, Writing

ADD_SOURCE = "add_source"
REMOVE_WITH_EVIDENCE = "remove_source_with_evidence"


def is_wide(devices: str) -> bool:
    """Whether a glob over device keys names nothing that they begin with."""
    return devices[:1] in ("*", "?", "[")


def action_for(source: Source) -> GuardedAction:
    """That the source is added."""
    public = next((each for each in source.secrets if each.startswith("whpk_")), "")
    values = {
        "name": source.name,
        "kind": source.kind,
        "devices": source.devices,
        "scope": source.max_scope.value,
        "max_age": repr(source.max_age),
        "user": source.user,
        "public_key": public,
    }
    return GuardedAction(ADD_SOURCE, values)


def removal_of(name: str) -> GuardedAction:
    """That a source is removed with all that it has said."""
    return GuardedAction(REMOVE_WITH_EVIDENCE, {"name": name})


async def remove_with_evidence(writing: Writing, name: str, author: str, at: float, *, alone: bool = False) -> Source:
    """Do it, inside the unit of work of its change; ``alone``: nobody else could approve. Raises ``Conflict``."""
    current = await writing.source(name)
    if current is None or (current.removed_at is not None and current.disbelieved):
        raise Conflict(f"there is no source {name} any more")
    removed = replace(current, removed_at=current.removed_at or at, secrets=(), devices="")
    await writing.put_source(removed)
    writing.log_everybody()
    more: dict[str, Value] = {"with_evidence": True, **({"alone": True} if alone else {})}
    await writing.log_audit(source_told(AuditKind.SOURCE_REMOVED, removed, author, **more))
    return removed


async def add_wide(writing: Writing, values: Mapping[str, str], author: str, at: float) -> None:
    """Add it, inside the unit of work of its change. Raises ``Conflict`` where the name is taken."""
    current = await writing.source(values["name"])
    if current is not None and (current.removed_at is None or current.disbelieved):
        raise Conflict(f"there is, or was with its evidence, a source {values['name']}: choose another name")
    source = Source(
        name=values["name"],
        kind=values["kind"],
        devices=values["devices"],
        max_scope=Scope(values["scope"]),
        max_age=float(values["max_age"]),
        secrets=(values["public_key"],) if values["public_key"] else (),
        created_at=at,
        created_by=author,
        user=values["user"],
    )
    await put_added(writing, source, current)
    await writing.log_audit(source_told(AuditKind.SOURCE_ADDED, source, author))


async def put_added(writing: Writing, source: Source, before: Source | None) -> None:
    """Store a source that is added; ``before``: the removed one of that name."""
    await writing.put_source(source)
    if before is not None:
        # Records rest on what that one reported. On a new name nothing does, and nobody has to be looked at again.
        writing.log_everybody()


def source_told(kind: AuditKind, source: Source, author: str, **more: Value) -> AuditEntry:
    """What the audit log is told of a source; its secrets are counted."""
    details: dict[str, Value] = {
        "source": source.name,
        "devices": source.devices,
        "scope": source.max_scope.value,
        "max_age_seconds": round(source.max_age),
        "limited_to_users": bool(source.user),
        "secrets": len(source.secrets),
    }
    return AuditEntry(kind, author, details={**details, **more})
