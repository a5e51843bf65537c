"""Who is newly cut by a change, for the notices that go with it; and which bans the change is about.

Who that is says the impact index, from the set that a preview found: no record of anybody is read for it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.changes.previews import Previews, decode_preview
from gateway.domain.bans import Ban
from gateway.domain.change import PolicyChange, at_stage
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import NEWEST_PREVIEW
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import Store


class Names(Previews, Protocol):
    """Previews that can say whose devices they found."""

    async def people_with(self, marks: Collection[int]) -> Sequence[str]:
        """The ids of everybody with one of these devices (``previews.mark_of``), ascending."""
        ...


@dataclass(frozen=True, slots=True)
class NewlyCut:
    """Whom a change, or a policy version, newly cuts."""

    people: Sequence[str]
    """Ids, ascending."""
    by_preview: str = ""
    """Digest of the change's preview that says so."""


async def newly_cut(store: Store, names: Names, number: int, version: int = NEWEST_PREVIEW) -> NewlyCut:
    """By the newest preview of a change, or as its policy version ``version`` cut with the fleet of now.

    Whom the newest version does not cut any more, since somebody has turned a flag back, is not among these.
    Raises ``InvalidValue`` where no preview is kept, and what ``names`` raises.
    """
    if version != NEWEST_PREVIEW:
        async with store.read() as reading:
            before, after = await reading.policy(version - 1), await reading.policy(version)
            newest = await reading.policy()
        if before is None or after is None or newest is None:
            raise InvalidValue(f"there is no policy version {version}")
        cut = (await names.of(before, after, brief=True)).newly_cut
        if newest.number != version:
            cut &= (await names.of(before, newest, brief=True)).newly_cut
        return NewlyCut(await names.people_with(cut))
    async with store.read() as reading:
        change = await reading.policy_change(number)
        digest = change.preview.digest if change is not None and change.preview is not None else ""
        content = await reading.change_preview(number, digest) if digest else None
    if content is None:
        raise InvalidValue(_without_preview(number))
    return NewlyCut(await names.people_with(decode_preview(content).newly_cut), digest)


def _without_preview(number: int) -> str:
    return f"nobody knows whom change {number} cuts: it has no preview"


def see_that_it_has_a_preview(change: PolicyChange) -> None:
    """Raises ``InvalidValue``."""
    if change.preview is None:
        raise InvalidValue(_without_preview(change.number))


def bans_about(change: PolicyChange, policy: PolicyVersion) -> tuple[Ban, ...]:
    """The bans that the change is about, as they are in force or will be. ``policy``: the newest version.

    Raises ``InvalidValue`` where somebody touched the same since.
    """
    after = policy if change.done else at_stage(change, policy, len(change.stages) - 1)
    touched = {touch.part.partition(":")[2] for touch in change.touches}
    return tuple(ban for ban in after.bans if ban.name.casefold() in touched)
