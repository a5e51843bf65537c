"""What a database holds that a backup of it does not: by number, by name and by time.

Looked at before a restore, while both are there; an operator decides by it.
"""

from dataclasses import dataclass

from gateway.ports.store import OperatorToken, Source, Store
from gateway.storage.sql.replacing import Since, counted_since

POLICIES_AT_MOST = 1_000


@dataclass(frozen=True, slots=True)
class LostVersion:
    """A policy version that the backup does not have."""

    number: int
    author: str
    created_at: float
    summary: str


@dataclass(frozen=True, slots=True)
class Losses:
    """What is lost, and what comes back that was taken away."""

    since: Since
    policies: tuple[LostVersion, ...]
    """The newest first."""
    newest_policy: int
    sources_added: tuple[str, ...]
    sources_returned: tuple[str, ...]
    """Removed since; the backup has them still."""
    sources_rotated: tuple[str, ...]
    """Their secrets are others since: the agents' reports will not be taken."""
    tokens_created: tuple[OperatorToken, ...]
    tokens_revoked: tuple[OperatorToken, ...]
    """Revoked since; they stay so."""
    counts: dict[str, int]
    """Rows of the present database."""

    @property
    def anything(self) -> bool:
        """Whether anything at all is lost or comes back."""
        since = self.since
        figures = (since.reports, since.devices_reported, since.devices_seen, since.pins)
        named = (self.policies, self.sources_added, self.sources_returned, self.sources_rotated)
        return any((*figures, *named, self.tokens_created, self.tokens_revoked))


async def losses(url: str, present: Store, backup: Store, taken_at: float) -> Losses:
    """Compare the present database at ``url`` with what a backup of that moment holds. Raises ``StoreUnavailable``."""
    since = await counted_since(url, taken_at)
    async with present.read() as now, backup.read() as then:
        versions = await now.policies(POLICIES_AT_MOST)
        kept = await then.policy()
        sources, were = {each.name: each for each in await now.sources()}, await then.sources()
        tokens, knew = await now.tokens(), {each.id: each for each in await then.tokens()}
        counts = await now.counts()
    newest = kept.number if kept else 0
    return Losses(
        since,
        tuple(LostVersion(v.number, v.author, v.created_at, v.summary) for v in versions if v.number > newest),
        versions[0].number if versions else 0,
        tuple(sorted(sources.keys() - {each.name for each in were})),
        tuple(sorted(each.name for each in were if each.name not in sources)),
        tuple(sorted(each.name for each in were if _rotated(each, sources.get(each.name)))),
        tuple(token for token in tokens if token.id not in knew),
        tuple(token for token in tokens if _revoked_since(token, knew.get(token.id))),
        counts,
    )


def _rotated(then: Source, now: Source | None) -> bool:
    """Whether what agents sign with today is not accepted by the source as it was."""
    return now is not None and bool(now.secrets) and now.secrets[0] not in then.secrets


def _revoked_since(now: OperatorToken, then: OperatorToken | None) -> bool:
    return now.revoked_at is not None and then is not None and then.revoked_at is None
