"""Whom time alone will cut: evidence that goes stale, exemptions and graces that end, bans that start.

Between two moments at which something can make the policy milder, denials only grow; so it suffices to look just
before each of these and at the end. Milder are the end of a ban and the beginning of an exemption. (So is the sliding
out of an old device from the 30 days of ``domain.grace``, for devices that never asked; nothing is denied before it
that is not denied at the moments looked at, since only an enforced hit can end such a grace.)

A source that the fleet brake holds is taken to be held on; that lists age only as far as somebody has looked ahead is
not, for somebody goes on looking.
"""

from dataclasses import dataclass
from math import nextafter

from pyroaring import BitMap

from gateway.changes.impact.algebra import Evaluation
from gateway.changes.impact.hits import Hits
from gateway.changes.impact.moment import Moment
from gateway.changes.impact.reach import Reach
from gateway.domain.ageing import Ageing
from gateway.domain.policy import Policy

MOMENTS_AT_MOST = 12
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Later:
    """The devices that lose mail within some time, if nothing is reported and nothing edited meanwhile."""

    within_seconds: float
    devices: BitMap
    exact: bool
    """False: so many exemptions begin in that time that only the end was looked at, and those who will be exempt by
    then but are cut before are not among the devices."""


def cut_later(now: Evaluation, reach: Reach, policy: Policy, hits: Hits, horizons: tuple[float, ...]) -> list[Later]:
    """For each of the ascending ``horizons`` (seconds) whom the policy cuts by then, and does not cut yet."""
    fleet, start, ageing = now.fleet, now.moment.now, Ageing(held=policy.ageing.held)
    served = reach.served(now)
    found: list[Later] = []
    lost, looked_until = BitMap(), start
    exact = True
    for horizon in horizons:
        end = start + horizon
        moments = [nextafter(at, 0.0) for at in _milder(policy, looked_until, end)]
        if len(moments) > MOMENTS_AT_MOST:
            moments, exact = [], False
        for at in (*moments, end):
            evaluation = Evaluation(Moment.under(fleet, at, ageing), policy, hits)
            lost |= served - reach.served(evaluation)
        looked_until = end
        found.append(Later(horizon, lost.copy(), exact))
    return found


def _milder(policy: Policy, after: float, until: float) -> list[float]:
    """The moments in a span at which something begins to be let through."""
    version = policy.version
    moments = {ban.ends_at for ban in version.bans if ban.ends_at is not None}
    moments |= {exemption.starts_at for exemption in version.exemptions}
    return sorted(at for at in moments if after < at <= until)
