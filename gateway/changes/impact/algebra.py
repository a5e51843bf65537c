"""The decision in set algebra: for a whole fleet, what ``decide`` answers to each device and to each person.

Read it beside ``domain/decide.py``; each set mirrors one of its rules, and a property test holds the two against each
other. Two kinds of question, as there: a device asks by its id, or all devices of a person answer (*user-wide*).
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from weakref import proxy

import numpy as np
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import Mask, bitmap_of_mask, bitmap_of_sorted, numbers_of
from gateway.changes.impact.evidence_rows import Mark
from gateway.changes.impact.exempt import Exempt
from gateway.changes.impact.fleet import EMPTY, KNOWN, STRANGER, Fleet
from gateway.changes.impact.grace import graced
from gateway.changes.impact.hits import Hits
from gateway.changes.impact.moment import Moment
from gateway.changes.impact.terms import BanTerms, Terms, terms_of
from gateway.domain.access import Protocol
from gateway.domain.inventory import Platform
from gateway.domain.policy import OutlookMobile, Policy
from gateway.domain.verdict import Cause, Reason

_REASON_OF = {
    Cause.CONFLICT: Reason.BINDING_CONFLICT,
    Cause.UNMATCHED: Reason.DEVICE_UNMATCHED,
    Cause.MISSING: Reason.EVIDENCE_MISSING,
    Cause.SCOPE: Reason.EVIDENCE_SCOPE,
    Cause.STALE: Reason.EVIDENCE_STALE,
}
"""In the order in which equally strict reasons are told (``strictest``)."""
_GRACED = (Cause.UNMATCHED, Cause.MISSING)

ByReason = dict[Reason, BitMap]


class Denials:
    """Who is refused by some terms; each set is made when it is asked for first, while the ``evaluation`` is there."""

    def __init__(self, evaluation: "Evaluation", terms: Terms) -> None:
        # Which holds this one: in a circle both would stay, with all their sets, until somebody collects garbage.
        self._evaluation: Evaluation = proxy(evaluation)
        self._terms = terms

    @cached_property
    def _contributions(self) -> ByReason:
        return self._evaluation.contributions(self._terms)

    @cached_property
    def by_reason(self) -> ByReason:
        """Mail devices that would be refused, exemptions and the global switch aside; first the reason to be told."""
        return self._evaluation.of_single_devices(self._contributions, self._terms)

    @cached_property
    def devices(self) -> BitMap:
        """All of these."""
        return _union(self.by_reason.values())

    @cached_property
    def refused(self) -> BitMap:
        """The mail devices that are refused."""
        on = self._evaluation.policy.version.enforcement_on
        return self.devices - self._evaluation.exempt.devices if on else EMPTY

    @cached_property
    def refused_people(self) -> Mask:
        """The people who are refused where all of their devices answer."""
        evaluation = self._evaluation
        if not evaluation.policy.version.enforcement_on:
            return np.zeros(evaluation.fleet.people_count, np.bool_)
        mask: Mask = evaluation.of_people(self._contributions, self._terms) & ~evaluation.exempt.people
        return mask


class Evaluation:
    """A policy on a fleet at one moment. Not for several threads; each set is made when it is asked for first."""

    def __init__(self, moment: Moment, policy: Policy, hits: Hits) -> None:
        self.moment = moment
        self.fleet: Fleet = moment.fleet
        self.policy = policy
        self._hits = hits
        self._bans = {ban.name: ban for ban in policy.version.bans}
        self._terms: dict[Protocol, Terms] = {}
        self._by_ban: dict[Protocol, Mapping[str, BanTerms]] = {}
        self._denials: dict[Terms, Denials] = {}
        self._by_protocol: dict[Protocol, Denials] = {}

    # --- What others ask for

    def refused(self, protocol: Protocol) -> BitMap:
        """The mail devices that are refused by ``protocol``."""
        return self.denials(protocol).refused

    def refused_people(self, protocol: Protocol) -> Mask:
        """The people who are refused where all of their devices answer."""
        return self.denials(protocol).refused_people

    def denials(self, protocol: Protocol) -> Denials:
        """Everything about who is refused; the same object for protocols that the policy does not tell apart."""
        found = self._by_protocol.get(protocol)
        if found is None:
            terms = self.terms(protocol)
            found = self._denials.setdefault(terms, Denials(self, terms))
            self._by_protocol[protocol] = found
        return found

    def terms(self, protocol: Protocol) -> Terms:
        """What the policy says for a protocol."""
        found = self._terms.get(protocol)
        if found is None:
            found = self._terms[protocol] = terms_of(self.policy.version, protocol, self.moment.now)
        return found

    @cached_property
    def exempt(self) -> Exempt:
        """Who is let through by name."""
        return self._hits.exemptions(self.policy).at(self.moment.now)

    @cached_property
    def dirty(self) -> BitMap:
        """The devices with a banned app, whatever the flag of its ban."""
        return self._hits.of_bans(self.policy.version.bans, self.policy)

    @cached_property
    def unknown(self) -> BitMap:
        """The mail devices that are neither dirty nor provably clean, each by its own evidence."""
        marked = self.fleet.marked
        doubted = marked(Mark.STRANGER) | marked(Mark.COMPROMISED) | marked(Mark.NOT_COMPLIANT)
        return ((self.moment.by_age.insufficient | doubted) - self.dirty) & marked(Mark.MAIL)

    def enforced_of(self, name: str, protocol: Protocol) -> BitMap:
        """The devices that one ban alone would have refused."""
        terms = self._terms_of_bans(protocol).get(name)
        return self._hits.enforced(terms, (self._bans[name],), self.policy) if terms is not None else EMPTY

    def _terms_of_bans(self, protocol: Protocol) -> Mapping[str, BanTerms]:
        found = self._by_ban.get(protocol)
        if found is None:
            bans = self.terms(protocol).bans
            found = self._by_ban[protocol] = {name: terms for terms, names in bans for name in names}
        return found

    # --- The rules, in the order of ``decide``

    def contributions(self, terms: Terms) -> ByReason:
        """What each device contributes, to its own question and to that of its person."""
        found = {Reason.BANNED_APP: self._enforced(terms)}
        marked = self.fleet.marked
        found[Reason.COMPROMISED] = self._of_platforms(marked(Mark.COMPROMISED), terms.denied.get("compromised", ()))
        found[Reason.NOT_COMPLIANT] = self._of_platforms(
            marked(Mark.NOT_COMPLIANT), terms.denied.get("not_compliant", ())
        )
        for cause, reason in _REASON_OF.items():
            platforms = terms.denied.get(cause.value, ())
            denied = self._of_platforms(self.moment.short_for(cause), platforms) if platforms else EMPTY
            found[reason] = self._without_grace(denied, terms, found) if cause in _GRACED else denied
        return found

    def _enforced(self, terms: Terms) -> BitMap:
        """A banned app whose ban is enforced."""
        return _union(
            self._hits.enforced(each, tuple(self._bans[name] for name in names), self.policy)
            for each, names in terms.bans
        )

    def _of_platforms(self, devices: BitMap, platforms: Iterable[Platform | None]) -> BitMap:
        """Those of the platforms for which a setting denies."""
        wanted = [self.fleet.platforms[each] for each in platforms if each in self.fleet.platforms]
        if len(wanted) == len(self.fleet.platforms):
            return devices
        return devices & BitMap.union(*wanted) if wanted and devices else EMPTY

    def _without_grace(self, denied: BitMap, terms: Terms, rules: ByReason) -> BitMap:
        if terms.grace is None or not denied:
            return denied
        enforced = rules[Reason.BANNED_APP]
        return denied - graced(self.moment, denied, terms.grace, enforced, noted=terms.noted)

    def of_single_devices(self, rules: ByReason, terms: Terms) -> ByReason:
        """The questions of devices that give their id."""
        mail = self.fleet.marked(Mark.MAIL)
        asked = {reason: devices & mail for reason, devices in rules.items()}
        outlook = self.fleet.marked(Mark.OUTLOOK) & self.fleet.marked(Mark.UNMATCHED) & mail
        if outlook and terms.outlook is OutlookMobile.USER_WIDE:
            for reason, devices in self._as_user_wide(outlook, rules, terms).items():
                asked[reason] = (asked[reason] - outlook) | devices
        elif outlook and terms.outlook is not OutlookMobile.UNMATCHED:
            asked[Reason.DEVICE_UNMATCHED] = self._by_outlook_rule(
                outlook, asked[Reason.DEVICE_UNMATCHED], rules, terms
            )
        if terms.stranger:
            asked[Reason.DEVICE_UNMATCHED] = asked[Reason.DEVICE_UNMATCHED] | (self.fleet.marked(Mark.STRANGER) & mail)
        return asked

    def _by_outlook_rule(self, outlook: BitMap, unmatched: BitMap, rules: ByReason, terms: Terms) -> BitMap:
        """``question.setting_for``: the rule instead of the setting, or the stricter of both where evidence exists."""
        denied = outlook
        if terms.outlook is not OutlookMobile.DENY:
            with_evidence = outlook & self.fleet.marked(Mark.EVIDENCE)
            denied = self._of_platforms(with_evidence, terms.denied.get(Cause.UNMATCHED.value, ()))
        return (unmatched - outlook) | self._without_grace(denied, terms, rules)

    def _as_user_wide(self, outlook: BitMap, rules: ByReason, terms: Terms) -> ByReason:
        """All devices of the person answer for the cloud's DeviceId; itself only where something is known of it."""
        numbers = numbers_of(outlook)
        owners = self.fleet.devices.person[numbers]
        evidence = np.isin(numbers, numbers_of(outlook & self.fleet.marked(Mark.EVIDENCE)))
        found = {}
        for reason, devices in rules.items():
            counts = np.bincount(self.fleet.owners(devices), minlength=self.fleet.people_count)
            itself = np.isin(numbers, numbers_of(devices & outlook)) & ~evidence
            found[reason] = bitmap_of_sorted(numbers[counts[owners] > itself])
        if terms.nobody_reported:
            silent = (self.fleet.people.standing[owners] == KNOWN) & ~self._reported[owners]
            found[Reason.EVIDENCE_MISSING] = found[Reason.EVIDENCE_MISSING] | bitmap_of_sorted(numbers[silent])
        return found

    def of_people(self, rules: ByReason, terms: Terms) -> Mask:
        """The questions that all devices of a person answer."""
        refused = self.fleet.people_of(_union(rules.values()))
        standing = self.fleet.people.standing
        if terms.stranger:
            refused |= standing == STRANGER
        if terms.nobody_reported:
            refused |= (standing == KNOWN) & ~self._reported
        return refused

    @cached_property
    def _reported(self) -> Mask:
        """The people of whom some device is known to a source."""
        fleet = self.fleet
        matched = bitmap_of_mask(fleet.devices.person >= 0) - fleet.marked(Mark.UNMATCHED)
        return fleet.people_of(matched)


def _union(bitmaps: Iterable[BitMap]) -> BitMap:
    filled = [bitmap for bitmap in bitmaps if bitmap]
    return BitMap.union(*filled) if filled else BitMap()
