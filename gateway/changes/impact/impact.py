"""From one policy to another: everything that a preview says, in one go.

``impact_of`` only reads its fleet, so it may run in a thread while reports go on; it takes some tens of milliseconds
for a million devices.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, product
from typing import TypeVar

import numpy as np
from pyroaring import BitMap

from gateway.changes.impact.ahead import DAY_SECONDS, Later, cut_later
from gateway.changes.impact.algebra import Evaluation
from gateway.changes.impact.bitmaps import Mask
from gateway.changes.impact.digest import exemptions_digest, impact_digest, policy_digest
from gateway.changes.impact.figures import Impact, NamedCut, NamedSet, ProtocolTally, Sets, Tally
from gateway.changes.impact.fleet import EMPTY, GONE, Fleet
from gateway.changes.impact.hits import Hits
from gateway.changes.impact.live import Live, SessionsEnded, ended
from gateway.changes.impact.moment import Moment
from gateway.changes.impact.reach import Reach
from gateway.domain.access import Protocol
from gateway.domain.policy import Policy, PolicyVersion
from gateway.domain.verdict import Cause, Reason

K = TypeVar("K")

HORIZONS = (DAY_SECONDS, 7 * DAY_SECONDS)
NAMES_AT_MOST = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """What a preview should say beside the numbers that it always has."""

    live: Live | None = None
    """Placed on the same fleet."""
    named: tuple[NamedSet, ...] = ()
    horizons: tuple[float, ...] = HORIZONS
    """Ascending, in seconds."""
    by_name: frozenset[Protocol] = frozenset()
    """Further ways in by which a login alone asks here; those that a policy tells apart count in any case."""
    dated: tuple[tuple[Policy, Policy], ...] = ()
    """Before and after at other moments, the first when the change comes: whom it turns then counts as well."""


def impact_of(fleet: Fleet, before: Policy, after: Policy, now: float, asked: Asked | None = None) -> Impact:
    """What putting ``after`` in the place of ``before`` does to ``fleet`` at ``now`` (epoch seconds).

    Lists are as old as the policies' ageing has them.
    """
    return _Preview(fleet, before, after, now, asked or Asked()).impact()


class _Preview:
    """The sets of one preview; each is made once."""

    def __init__(self, fleet: Fleet, before: Policy, after: Policy, now: float, asked: Asked) -> None:
        moment, self.hits = Moment.under(fleet, now, before.ageing), Hits(fleet)
        same = after.ageing == before.ageing
        self.fleet, self.asked, self.after_policy, self.before_policy = fleet, asked, after, before
        self.before = Evaluation(moment, before, self.hits)
        then = moment if same else Moment.under(fleet, now, after.ageing)
        self.after = Evaluation(then, after, self.hits)
        dated = [
            # Where no date of its own comes, before is the same at each moment.
            (self.before if one is before else Evaluation(moment, one, self.hits), Evaluation(then, other, self.hits))
            for one, other in asked.dated
        ]
        self.pairs = ((self.before, self.after), *dated)
        """The first of them is what is shown."""
        self.reach = Reach(fleet)
        self.turned = {protocol: self._turned(protocol) for protocol in self.reach.protocols}
        self.cut = _all_of(cut for cut, _ in self.turned.values())
        self.admitted = _all_of(admitted for _, admitted in self.turned.values())
        self.raw = _all_of(self.after.denials(p).devices & self.reach.of(p) for p in self.reach.protocols)
        self.unjudged = (self.after.unknown & self.reach.all) - self.raw

    def _turned(self, protocol: Protocol) -> tuple[BitMap, BitMap]:
        refused = [[self.reach.refused(each, protocol) for each in pair] for pair in self.pairs]
        now, cut, admitted = refused[0][0], BitMap(), BitMap()
        for before, after in refused:
            cut |= after - before - now
            admitted |= (before - after) & now
        return cut, admitted

    def impact(self) -> Impact:
        fleet, reach = self.fleet, self.reach
        refused_before = _all_of(reach.refused(self.before, protocol) for protocol in reach.protocols)
        refused = _all_of(reach.refused(self.after, protocol) for protocol in reach.protocols)
        people_cut, cut_off = self._people_cut()
        only_cut, only_admitted = self._only_by_name()
        return Impact(
            incarnation=fleet.incarnation,
            sequence=fleet.sequence,
            at=self.after.moment.now,
            digest=self._digest(),
            devices=len(reach.all),
            people=int(np.count_nonzero(fleet.people.standing != GONE)),
            cut=len(self.cut),
            admitted=len(self.admitted),
            unchanged=len(reach.all) - self.cut.union_cardinality(self.admitted),
            refused_before=len(refused_before),
            refused_after=len(refused),
            exempt=len(self.raw - refused),
            dirty=self.after.dirty.intersection_cardinality(reach.all),
            unjudged=len(self.unjudged),
            unjudged_by_cause=self._by_cause(),
            people_cut=int(np.count_nonzero(people_cut)),
            people_cut_off=int(np.count_nonzero(cut_off)),
            people_admitted=int(np.count_nonzero(fleet.people_of(self.admitted))),
            by_protocol=self._by_protocol(),
            by_reason=self._by_reason(),
            by_ban=self._by_ban(),
            groups=self._groups(),
            platforms=self._tallies(fleet.platforms),
            ownerships=self._tallies(fleet.ownerships),
            sources=self._tallies(fleet.sources),
            later=self._later(),
            sessions=self._sessions(),
            named=tuple(self._named(each, people_cut | only_cut) for each in self.asked.named),
            sets=Sets(fleet, self.cut, self.admitted, self.unjudged, refused),
            cut_by_name=int(np.count_nonzero(only_cut)),
            admitted_by_name=int(np.count_nonzero(only_admitted)),
        )

    def _digest(self) -> str:
        before, after = self.before_policy.version, self.after_policy.version
        exemptions = exemptions_digest(before.exemptions)
        same = before.exemptions is after.exemptions
        versions = policy_digest(before, exemptions), policy_digest(after, exemptions if same else "")
        return impact_digest(self.fleet, *versions, self.cut, self.admitted)

    def _people_cut(self) -> tuple[Mask, Mask]:
        """Who has a device that is newly cut, and who of them has none left that is served."""
        people = self.fleet.people_of(self.cut)
        always = [self.fleet.people_of(self.reach.served(after)) for _, after in self.pairs]
        cut_off: Mask = people & ~np.logical_and.reduce(always)
        return people, cut_off

    def _only_by_name(self) -> tuple[Mask, Mask]:
        """Who loses mail, and who gets it, by a login for which all devices answer, without a device that turns."""
        count = self.fleet.people_count
        cut, admitted = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        versions = self.before_policy.version, self.after_policy.version
        for protocol in self.asked.by_name.union(*map(told_apart, versions)) - {Protocol.ACTIVESYNC}:
            more_cut, more_admitted = self._people_turned(protocol)
            cut |= more_cut
            admitted |= more_admitted
        return cut & ~self.fleet.people_of(self.cut), admitted & ~self.fleet.people_of(self.admitted)

    def _by_cause(self) -> dict[Cause, int]:
        moment = self.after.moment.by_age
        return _filled({cause: moment.short_for(cause).intersection_cardinality(self.unjudged) for cause in Cause})

    def _by_protocol(self) -> dict[Protocol, ProtocolTally]:
        found: dict[Protocol, ProtocolTally] = {}
        people: dict[tuple[int, ...], tuple[int, int]] = {}
        for protocol in Protocol:
            cut, admitted = self.turned.get(protocol, (EMPTY, EMPTY))
            if protocol is Protocol.ACTIVESYNC:
                # It always names a device.
                found[protocol] = ProtocolTally(len(cut), len(admitted), 0, 0)
                continue
            # Protocols that neither policy tells apart have the same answers.
            same = tuple(id(each.denials(protocol)) for each in chain.from_iterable(self.pairs))
            if same not in people:
                cut_people, admitted_people = self._people_turned(protocol)
                people[same] = int(np.count_nonzero(cut_people)), int(np.count_nonzero(admitted_people))
            found[protocol] = ProtocolTally(len(cut), len(admitted), *people[same])
        return found

    def _people_turned(self, protocol: Protocol) -> tuple[Mask, Mask]:
        refused = [[each.refused_people(protocol) for each in pair] for pair in self.pairs]
        now = refused[0][0]
        cut, admitted = np.zeros_like(now), np.zeros_like(now)
        for before, after in refused:
            cut |= after & ~before & ~now
            admitted |= before & ~after & now
        return cut, admitted

    def _by_reason(self) -> dict[Reason, int]:
        counted: dict[Reason, int] = {}
        left = self.cut
        for (_, after), protocol in product(self.pairs, self.reach.protocols):
            if not left:
                break
            cut = self.turned[protocol][0] & left
            for reason, devices in after.denials(protocol).by_reason.items():
                told = devices & cut
                cut, left = cut - told, left - told
                counted[reason] = counted.get(reason, 0) + len(told)
        return _filled(counted)

    def _by_ban(self) -> dict[str, int]:
        counted = {}
        turned = {protocol: cut for protocol, (cut, _) in self.turned.items() if cut}
        for ban in self.after_policy.version.bans:
            if len(turned) == 1:
                ((protocol, cut),) = turned.items()
                counted[ban.name] = cut.intersection_cardinality(self.after.enforced_of(ban.name, protocol))
            else:
                hit = (cut & self.after.enforced_of(ban.name, protocol) for protocol, cut in turned.items())
                counted[ban.name] = len(_all_of(hit))
        return _filled(counted)

    def _groups(self) -> tuple[Tally, ...]:
        found = [each for each in self._tallies(self.fleet.groups) if each.cut or each.admitted]
        return tuple(sorted(found, key=lambda each: (-each.cut, -each.admitted, each.name)))

    def _tallies(self, named: Mapping[K, BitMap]) -> tuple[Tally, ...]:
        cut, admitted, unjudged = map(_counter, (self.cut, self.admitted, self.unjudged))
        # In most fleets a protocol can name every device there is.
        reached = len if self.reach.everything else _counter(self.reach.all)
        return tuple(
            Tally(str(name or ""), reached(devices), cut(devices), admitted(devices), unjudged(devices))
            for name, devices in named.items()
            if devices
        )

    def _later(self) -> tuple[Later, ...]:
        return tuple(cut_later(self.after, self.reach, self.after_policy, self.hits, self.asked.horizons))

    def _sessions(self) -> SessionsEnded:
        """Those that end when the change comes."""
        before, after = self.pairs[1] if len(self.pairs) > 1 else self.pairs[0]
        return ended(self.asked.live, before, after) if self.asked.live is not None else SessionsEnded()

    def _named(self, named: NamedSet, people_cut: Mask) -> NamedCut:
        people = BitMap(each for login in named.logins if (each := self.fleet.person_of_login(login)) is not None)
        people |= self.fleet.members.get(named.group, BitMap()) if named.group else BitMap()
        cut = [self.fleet.person_ids[each] for each in people if people_cut[each]]
        return NamedCut(named.name, len(people), tuple(sorted(cut)[:NAMES_AT_MOST]), len(cut))


def told_apart(version: PolicyVersion) -> frozenset[Protocol]:
    """The ways in that a policy treats otherwise than another; all of them, where ActiveSync is one."""
    settings = [getattr(version.unknowns, each.name) for each in fields(version.unknowns)]
    ruled = chain.from_iterable([*(ban.rules for ban in version.bans), *(setting.rules for setting in settings)])
    named = frozenset(rule.protocol for rule in ruled if rule.protocol is not None)
    return frozenset(Protocol) if Protocol.ACTIVESYNC in named else named


def _counter(wanted: BitMap) -> Callable[[BitMap], int]:
    """Counts how many of a set are ``wanted``."""
    return wanted.intersection_cardinality if wanted else lambda _: 0


def _all_of(bitmaps: Iterable[BitMap]) -> BitMap:
    found: Sequence[BitMap] = [each for each in bitmaps if each]
    return BitMap.union(*found) if found else BitMap()


def _filled(counted: Mapping[K, int]) -> dict[K, int]:
    return {name: number for name, number in counted.items() if number}
