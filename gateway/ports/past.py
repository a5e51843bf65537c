"""The part of a store that knows what stood in it at an earlier moment, as far as decisions go by it.

``as_of`` gives the evidence of then in the same words as that of now, so that one and the same code assembles the
record of a person from either. What is replaced or deleted is kept by the store itself, in the unit of work that does
it, whoever writes; of reports a step backwards, of the rest what stood there and until when. Moments are the store's
own clock at the writing, so the answer to a question of that very second may be the one before or the one after.

Not kept: what neither a decision nor its words need (names, addresses, what devices say of themselves, secrets).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import App, Inventory
from gateway.domain.policy import PolicyVersion

if TYPE_CHECKING:
    from gateway.ports.store import IssuedCredential, MailDevice, Person, PinnedBinding, Source, UnderLogin


@dataclass(frozen=True, slots=True)
class AppsAdded:
    """Apps that were not on an inventory device before one report."""

    source_id: str
    source_device: str
    at: float
    """When it was stored."""
    apps: tuple[App, ...]


class EvidenceReading(Protocol):
    """What a person's record is assembled from: that of now (``Reading``), or that of an earlier moment."""

    async def sequence(self) -> int:
        """The change-log sequence that what is read includes."""
        ...

    async def source(self, name: str) -> "Source | None":
        """A source by name, removed ones included."""
        ...

    async def inventory(self, source_id: str, source_device: str) -> Inventory | None:
        """The state of an inventory device."""
        ...

    async def inventories_by_key(self, key_type: str, value: str) -> Sequence[Inventory]:
        """All inventory devices that state the key; ``value`` is compared case-folded."""
        ...

    async def person_by_login(self, login: str) -> "Person | None":
        """The person of a canonical login or alias."""
        ...

    async def mail_devices(self, person_id: str) -> "Sequence[MailDevice]":
        """The mail devices seen of one person."""
        ...

    async def under_login(self, login: str) -> "UnderLogin":
        """``mail_devices``, ``pins_of_person``, ``tombstoned_devices`` and ``credentials_of_person`` at once."""
        ...

    async def pins_of_person(self, person_id: str) -> "Sequence[PinnedBinding]":
        """Pins on the person's mail devices."""
        ...

    async def tombstones(self, person_id: str, device_id: str) -> Sequence[Tombstone]:
        """Hits that outlived their evidence."""
        ...

    async def tombstoned_devices(self, person_id: str) -> Sequence[str]:
        """DeviceIds of the person that have tombstones."""
        ...

    async def credentials_of_person(self, person_id: str) -> "Sequence[IssuedCredential]":
        """Those issued for a person, in order of their IDs, revoked ones included."""
        ...


class PastReading(Protocol):
    """The way to an earlier moment."""

    async def past_since(self) -> float:
        """From which moment on the past is whole, epoch seconds; 0: from the first act of this store on."""
        ...

    async def policy_at(self, at: float) -> PolicyVersion | None:
        """The policy version that was the newest then."""
        ...

    async def apps_added(self, since: float, most: int) -> Sequence[AppsAdded]:
        """What reports stored after that moment have added, the newest first; of more than ``most`` the newest."""
        ...

    def as_of(self, at: float) -> EvidenceReading:
        """The evidence as it stood at ``at``; worth nothing for a moment before ``past_since``."""
        ...


class PastWriting(Protocol):
    """What a unit of work does to the past."""

    async def forget_past(self, before: float, limit: int) -> int:
        """Forget up to ``limit`` rows (or a few more) of what was replaced before that moment; how many went.

        From now on the past begins there, however many rows are left.
        """
        ...

    async def erase_past(self, logins: Sequence[str], devices: Sequence[tuple[str, str]]) -> int:
        """Forget the past of these logins and inventory devices (source, device), as if they had never been.

        Of other devices that stated one of the logins, the naming goes. How many rows went.
        """
        ...
