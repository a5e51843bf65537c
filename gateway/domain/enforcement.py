"""Which flag of a ban counts for one user, protocol and moment.

The ban's own flag is the base; the newest rule whose conditions all hold replaces it. Percentages are stable:
a 64-bit keyed mix of person and the ban's seed, so that growing 10 % to 25 % keeps the first 10 %, and all of a
user's devices fall on the same side.
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b

from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag
from gateway.domain.verdict import FOREVER


@dataclass(frozen=True, slots=True)
class FlagInForce:
    """A ban's flag for one question, and until when that answer holds."""

    flag: Flag
    valid_until: float = FOREVER


def share_of(person_id: str, seed: int) -> float:
    """The person's fixed place among all, 0 ≤ place < 100, different for each seed."""
    key = (seed & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")
    digest = blake2b(person_id.encode(), key=key, digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 * 100.0


def flag_in_force(ban: Ban, person_id: str, groups: Collection[str], protocol: Protocol, now: float) -> FlagInForce:
    """The flag of ``ban`` for that person and protocol at ``now``."""
    if ban.groups and not ban.groups.intersection(groups):
        return FlagInForce(Flag.OFF)
    if ban.ends_at is not None and now >= ban.ends_at:
        return FlagInForce(Flag.OFF)
    ends = FOREVER if ban.ends_at is None else ban.ends_at
    flag = _chosen(ban, person_id, groups, protocol)
    if ban.starts_at is not None and now < ban.starts_at:
        # Announced but not yet in force: shown as what would be.
        waiting = Flag.REPORT_ONLY if flag is Flag.ENFORCE else flag
        return FlagInForce(waiting, min(ends, ban.starts_at))
    return FlagInForce(flag, ends)


def _chosen(ban: Ban, person_id: str, groups: Collection[str], protocol: Protocol) -> Flag:
    for rule in ban.rules:
        if rule.protocol not in (None, protocol):
            continue
        if rule.group and rule.group not in groups:
            continue
        if rule.percent is not None and share_of(person_id, ban.seed) >= rule.percent:
            continue
        return rule.flag
    return ban.flag
