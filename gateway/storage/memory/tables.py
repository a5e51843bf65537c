"""The tables of the memory store: dictionaries of immutable values, copied before they are changed.

A snapshot is a reference to a ``Tables`` that nobody changes any more; a transaction begins with a shallow copy and
copies each dictionary when it first writes to it.
"""

from dataclasses import dataclass, field, replace

from gateway.domain.brake import NO_BRAKE, Brake
from gateway.domain.change import PolicyChange
from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import App, Inventory
from gateway.domain.operator import NamedOperator
from gateway.domain.past import Undo
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import (
    Change,
    IssuedCredential,
    Lease,
    MailDevice,
    OperatorToken,
    Person,
    PinnedBinding,
    Source,
    StoredMessage,
)
from gateway.storage.memory.audit import AuditTables
from gateway.storage.memory.notices import OutboxTables
from gateway.storage.past_rows import PastRow

InventoryId = tuple[str, str]
"""(source_id, source_device)"""


@dataclass(frozen=True, slots=True)
class InventoryEvent:
    """What a report added and removed."""

    source_id: str
    source_device: str
    generated_at: float
    added: tuple[App, ...]
    removed: tuple[App, ...]
    at: float
    """When it was stored."""
    undo: Undo | None
    """What leads back to the state before it; None: there was none."""


@dataclass(slots=True)
class Tables:
    """One state of the store."""

    incarnation: str
    sequence: int = 0
    changes: dict[int, Change] = field(default_factory=dict)
    policies: dict[int, PolicyVersion] = field(default_factory=dict)
    policy_changes: dict[int, tuple[PolicyChange, float]] = field(default_factory=dict)
    """With the moment of their writing."""
    change_previews: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    messages: dict[tuple[str, str], StoredMessage] = field(default_factory=dict)
    inventories: dict[InventoryId, Inventory] = field(default_factory=dict)
    inventory_keys: dict[tuple[str, str], tuple[InventoryId, ...]] = field(default_factory=dict)
    events: dict[int, InventoryEvent] = field(default_factory=dict)
    past: dict[int, PastRow] = field(default_factory=dict)
    past_since: float = 0.0
    evidence_told: float = 0.0
    people: dict[str, Person] = field(default_factory=dict)
    logins: dict[str, str] = field(default_factory=dict)
    mail_devices: dict[str, tuple[MailDevice, ...]] = field(default_factory=dict)
    pins: dict[str, tuple[PinnedBinding, ...]] = field(default_factory=dict)
    tombstones: dict[str, dict[str, tuple[Tombstone, ...]]] = field(default_factory=dict)
    tokens: dict[str, OperatorToken] = field(default_factory=dict)
    operators: dict[str, NamedOperator] = field(default_factory=dict)
    credentials: dict[str, IssuedCredential] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    brake: Brake = NO_BRAKE
    audit: AuditTables = field(default_factory=AuditTables)
    outbox: OutboxTables = field(default_factory=OutboxTables)

    def copy(self) -> "Tables":
        """A second state that shares every table with this one."""
        return replace(self)
