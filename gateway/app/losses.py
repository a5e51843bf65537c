"""What a database holds that a backup of it does not: by number, by name and by time.

Looked at before a restore, while both are there; an operator decides by it.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.app.erasures_since import ErasuresSince, erasures_since
from gateway.domain.operator import NamedOperator, name_key, one_for_each_name
from gateway.ports.store import IssuedCredential, OperatorToken, Reading, Source, Store, StoreUnavailable
from gateway.storage.sql.replacing import Since, counted_since

POLICIES_AT_MOST = 1_000
CREDENTIALS_AT_ONCE = 1_000


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
    changes: range
    """Numbers of changes that the backup does not have."""
    sources_added: tuple[str, ...]
    sources_returned: tuple[str, ...]
    """Removed since; the backup has them still."""
    sources_rotated: tuple[str, ...]
    """Their secrets are others since: the agents' reports will not be taken."""
    tokens_created: tuple[OperatorToken, ...]
    tokens_revoked: tuple[OperatorToken, ...]
    """Revoked since; they stay so."""
    credentials_revoked: tuple[IssuedCredential, ...]
    """Likewise."""
    operators_lessened: tuple[NamedOperator, ...]
    """As they stay: removed since, or with less roles than the backup gives them."""
    erasures: ErasuresSince
    """Of people whom the backup has still."""
    counts: dict[str, int]
    """Rows of the present database."""

    @property
    def anything(self) -> bool:
        """Whether anything at all is lost or comes back; erased people are told of by themselves."""
        since = self.since
        figures = (since.reports, since.devices_reported, since.devices_seen, since.pins)
        named = (self.policies, self.changes, self.sources_added, self.sources_returned, self.sources_rotated)
        return any(
            (
                *figures,
                *named,
                self.tokens_created,
                self.tokens_revoked,
                self.credentials_revoked,
                self.operators_lessened,
            )
        )


async def losses(url: str, present: Store, backup: Store, taken_at: float) -> Losses:
    """Compare the present database at ``url`` with what a backup of that moment holds. Raises ``StoreUnavailable``."""
    since = await counted_since(url, taken_at)
    async with present.read() as now, backup.read() as then:
        versions = await now.policies(POLICIES_AT_MOST)
        kept = await then.policy()
        kept_change = next((each.number for each in await then.policy_changes(limit=1)), 0)
        sources, were = {each.name: each for each in await now.sources()}, await then.sources()
        tokens, knew = await now.tokens(), {each.id: each for each in await then.tokens()}
        operators, were_operators = await now.operators(), await then.operators()
        credentials = [each async for each in _revoked_credentials(now, then)]
        counts = await now.counts()
    newest = kept.number if kept else 0
    return Losses(
        since,
        tuple(LostVersion(v.number, v.author, v.created_at, v.summary) for v in versions if v.number > newest),
        versions[0].number if versions else 0,
        range(kept_change + 1, since.newest_change + 1),
        tuple(sorted(sources.keys() - {each.name for each in were})),
        tuple(sorted(each.name for each in were if each.name not in sources)),
        tuple(sorted(each.name for each in were if _rotated(each, sources.get(each.name)))),
        tuple(token for token in tokens if token.id not in knew),
        tuple(token for token in tokens if _revoked_since(token, knew.get(token.id))),
        tuple(credentials),
        tuple(_lessened(operators, were_operators)),
        await _erasures(present, backup),
        counts,
    )


async def _erasures(present: Store, backup: Store) -> ErasuresSince:
    """Behind all else, and alone: a damaged audit log must not have it forgotten who was shut out since."""
    try:
        async with present.read() as now, backup.read() as then:
            return await erasures_since(now, then)
    except StoreUnavailable:
        return ErasuresSince((), all_known=False)


def _rotated(then: Source, now: Source | None) -> bool:
    """Whether what agents sign with today is not accepted by the source as it was."""
    return now is not None and bool(now.secrets) and now.secrets[0] not in then.secrets


def _revoked_since(now: OperatorToken, then: OperatorToken | None) -> bool:
    return now.revoked_at is not None and then is not None and then.revoked_at is None


async def _revoked_credentials(now: Reading, then: Reading) -> AsyncIterator[IssuedCredential]:
    after = ""
    while page := await now.credentials(after, CREDENTIALS_AT_ONCE):
        after = page[-1].id
        for each in page:
            were = await then.credential(each.id) if each.revoked_at is not None else None
            if were is not None and were.revoked_at is None:
                yield each


def _lessened(now: Sequence[NamedOperator], then: Sequence[NamedOperator]) -> Iterator[NamedOperator]:
    """Whom the backup gives more than they had in the end: that does not come back with it."""
    present = one_for_each_name(now)
    for were in then:
        known = present.get(name_key(were.name))
        if known is None or not were.present or (known.present and were.roles <= known.roles):
            continue
        yield replace(were, roles=were.roles & known.roles, removed_at=known.removed_at)
