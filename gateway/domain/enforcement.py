"""Which flag of a ban counts for one user, protocol and moment.

The ban's own flag is the base; the newest rule whose conditions all hold replaces it. Percentages are stable:
a 64-bit hash of the person mixed with the ban's seed, so that growing 10 % to 25 % keeps the first 10 %, and all of a
user's devices fall on the same side. The hash is the same for every ban: who asks about all people of a fleet at once
has it at hand, and mixes by the hundred thousand (``changes.impact``).
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from math import nextafter

from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag
from gateway.domain.verdict import FOREVER

_ALL_BITS = 0xFFFFFFFFFFFFFFFF
LAST_PLACE = nextafter(100.0, 0.0)


@dataclass(frozen=True, slots=True)
class FlagInForce:
    """A ban's flag for one question, and until when that answer holds."""

    flag: Flag
    valid_until: float = FOREVER


def person_hash(person_id: str) -> int:
    """64 bits that stand for a person whatever the ban."""
    return int.from_bytes(blake2b(person_id.encode(), digest_size=8).digest(), "big")


def mixed(bits: int) -> int:
    """64 bits well stirred: the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    bits = (bits + 0x9E3779B97F4A7C15) & _ALL_BITS
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _ALL_BITS
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _ALL_BITS
    return bits ^ (bits >> 31)


def share_of(person_id: str, seed: int) -> float:
    """The person's fixed place among all, 0 ≤ place < 100, different for each seed."""
    # The last of 2^64 places would be rounded to 100.
    return min(mixed(person_hash(person_id) ^ mixed(seed & _ALL_BITS)) / 2**64 * 100.0, LAST_PLACE)


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
