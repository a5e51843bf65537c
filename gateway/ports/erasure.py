"""The part of a store by which people are erased and silent devices found: what stands under somebody's names.

What has a method of its own (the person, inventories) is deleted by that one; what is kept of the past by
``PastWriting.erase_past``. Nothing here leaves anything behind in the past.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol


class ErasureReading(Protocol):
    """What has to be looked for before: it may take long, and nobody else should wait for it."""

    async def messages_naming(self, source_id: str, text: str, limit: int) -> Sequence[str]:
        """Ids of remembered messages of a source in which ``text`` stands."""
        ...

    async def people_with_silent(self, before: float, after: str, limit: int) -> Sequence[str]:
        """Logins in order, those above ``after``, that have a mail device or a reported one not heard of since."""
        ...


class ErasureWriting(Protocol):
    """What a unit of work deletes."""

    async def erase_rows(self, logins: Sequence[str]) -> Mapping[str, int]:
        """Delete mail devices, pins, tombstones, credentials and notices of these logins; how many of each."""
        ...

    async def erase_messages(self, source_id: str, message_ids: Sequence[str]) -> int:
        """Forget these messages; how many were there."""
        ...

    async def blank_changes(self, logins: Sequence[str]) -> int:
        """Let the change log name these logins no more; how many rows did.

        Such a row says afterwards that everybody changed, so that whoever reads it late misses nothing.
        """
        ...
