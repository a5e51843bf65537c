"""Holds the impact index against ``decide``: every device, every protocol, and every person with all devices.

``python -m tests.support.impact_equality --decisions 1000000`` does it by the hundred thousand (seeds from 1 on) and
says how many decisions were compared.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.changes.impact.algebra import Evaluation
from gateway.changes.impact.fleet import Fleet
from gateway.changes.impact.hits import Hits
from gateway.changes.impact.impact import Asked, impact_of
from gateway.changes.impact.moment import Moment
from gateway.changes.impact.writing import Update, Writer
from gateway.domain.access import Protocol
from gateway.domain.decide import decide
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Policy, policy_of
from gateway.domain.verdict import Cause, Effect, Posture
from tests.support.evidence_strategies import DAY, NOW
from tests.support.random_fleets import Draw, Drawn, question


def updates(people: Iterable[Drawn]) -> list[Update]:
    return [Update(each.record, None, each.device_types) for each in people]


def written(people: Iterable[Drawn]) -> Writer:
    writer = Writer("life", 7)
    writer.put(updates(people))
    return writer


def content(fleet: Fleet) -> dict[str, object]:
    """What a fleet says, without numbers."""

    def names(bitmap: object) -> set[tuple[str, str]]:
        return {(fleet.person_ids[fleet.devices.person[each]], fleet.device_ids[each]) for each in bitmap}  # type: ignore[attr-defined]

    shelves = (fleet.marks, fleet.platforms, fleet.ownerships, fleet.sources, fleet.groups)
    live = [each for each in range(fleet.device_count) if fleet.devices.person[each] >= 0]
    columns, lists = fleet.devices, fleet.lists
    sources = {number: name for name, number in lists.numbers.items()}
    return {
        "apps": {fleet.catalogue.app(number): names(bitmap) for number, bitmap in fleet.entries.items() if bitmap},
        "shelves": [{key: names(bitmap) for key, bitmap in shelf.items() if bitmap} for shelf in shelves],
        "members": {
            group: {fleet.person_ids[each] for each in bitmap} for group, bitmap in fleet.members.items() if bitmap
        },
        "devices": {
            (fleet.person_ids[columns.person[each]], fleet.device_ids[each]): (
                columns.sufficient_until[each],
                columns.stale_from[each],
                str(columns.first_seen_at[each]),
                columns.earlier[each],
                columns.key[each],
                columns.apps[each],
            )
            for each in live
        },
        "people": {
            fleet.person_ids[each]: (fleet.people.standing[each], fleet.people.seen[each], fleet.people.hash[each])
            for each in range(fleet.people_count)
            if fleet.people.standing[each]
        },
        "lists": {
            (fleet.person_ids[columns.person[device]], fleet.device_ids[device], sources[source]): times
            for device, source, *times in zip(
                *(each.tolist() for each in (lists.device, lists.source, lists.sufficient_until, lists.stale_from)),
                strict=True,
            )
            if device >= 0
        },
        "logins": {login: fleet.person_ids[number] for login, number in fleet.logins.items()},
        "whole": {
            (fleet.person_ids[columns.person[each]], fleet.device_ids[each]): evidence
            for each, evidence in fleet.whole.items()
        },
    }


def compare(fleet: Fleet, people: Sequence[Drawn], policy: Policy, now: float, found: Counter[str]) -> None:
    """Raises ``AssertionError`` at the first difference."""
    evaluation = Evaluation(Moment.under(fleet, now, policy.ageing), policy, Hits(fleet))
    for protocol in Protocol:
        refused, raw = evaluation.refused(protocol), evaluation.denials(protocol)
        refused_people = evaluation.refused_people(protocol)
        for drawn in people:
            record = drawn.record
            number = fleet.person_of_login(record.person_id)
            if number is None:
                assert (record.known, dict(record.devices), record.unbound) == (False, {}, ())
                continue
            verdict = decide(question(record, "", protocol, {}), record, policy, now)
            assert bool(refused_people[number]) is (verdict.effect is Effect.DENY), (protocol, record, verdict)
            found["user-wide"] += 1
            for device_id in record.devices:
                request = question(record, device_id, protocol, drawn.device_types)
                verdict = decide(request, record, policy, now)
                device = fleet.device(record.person_id, device_id)
                assert device is not None
                where = (protocol, request, record, verdict)
                assert (device in refused) is (verdict.effect is Effect.DENY), where
                found["devices"] += 1
                if verdict.effect is Effect.DENY:
                    found["denials"] += 1
                    told = next(reason for reason, devices in raw.by_reason.items() if device in devices)
                    assert told is verdict.reason, where
                if not request.device_type:
                    _compare_posture(evaluation, device, verdict.posture, where)
                    causes = {each for each in Cause if device in evaluation.moment.by_age.short_for(each)}
                    assert causes == set(verdict.causes), where


def _compare_posture(evaluation: Evaluation, device: int, posture: Posture, where: object) -> None:
    assert (device in evaluation.dirty) is (posture is Posture.DIRTY), where
    assert (device in evaluation.unknown) is (posture is Posture.UNKNOWN), where


def everything(people: Sequence[Drawn], policies: Sequence[Policy], found: Counter[str], seed: int) -> None:
    """A fleet under some policies now and later; then after changes, and a rebuild."""
    writer = written(people)
    for policy in policies:
        for now in (NOW, NOW + 2 * DAY):
            compare(writer.view(), people, policy, now, found)
    draw, after = Draw(-seed), list(people)
    kept, before = writer.view(), people
    for _ in range(3):
        place = draw.random.randrange(len(after))
        old = after[place].record
        after[place] = draw.changed(after[place], place)
        writer.put([Update(after[place].record, old if draw.chance(0.5) else None, after[place].device_types)])
        found["updates"] += 1
    compare(writer.view(), after, policies[0], NOW, found)
    compare(kept, before, policies[-1], NOW, found)
    compare_impact(writer.view(), after, policies[0], policies[-1], found)
    one, other = (policy_of(draw.policy(len(after), number)) for number in (3, 4))
    compare_impact(writer.view(), after, policies[0], policies[-1], found, (one, other))


def compare_impact(
    fleet: Fleet,
    people: Sequence[Drawn],
    before: Policy,
    after: Policy,
    found: Counter[str],
    dated: tuple[Policy, Policy] | None = None,
) -> None:
    """The numbers of a preview, counted one by one; ``dated``: before and after as they are at another moment."""
    pairs = [(before, after)]
    if dated is not None:
        pairs.append((replace(dated[0], ageing=before.ageing), replace(dated[1], ageing=after.ageing)))
    impact = impact_of(fleet, before, after, NOW, Asked(dated=tuple(pairs[1:])))
    cut, admitted, devices = set(), set(), 0
    for drawn in people:
        record = drawn.record
        for device_id in record.devices:
            protocols = reached(record, device_id)
            devices += bool(protocols)
            for protocol in protocols:
                request = question(record, device_id, protocol, drawn.device_types)
                now = decide(request, record, before, NOW).effect
                for pair in pairs:
                    turned = tuple(decide(request, record, policy, NOW).effect for policy in pair)
                    if turned == (Effect.ALLOW, Effect.DENY) and now is Effect.ALLOW:
                        cut.add((record.person_id, device_id))
                    if turned == (Effect.DENY, Effect.ALLOW) and now is Effect.DENY:
                        admitted.add((record.person_id, device_id))
    assert (impact.devices, impact.cut, impact.admitted) == (devices, len(cut), len(admitted))
    assert impact.unchanged == devices - len(cut | admitted)
    assert impact.people_cut == len({person for person, _ in cut})
    assert sum(impact.by_reason.values()) == len(cut)
    found["impacts"] += 1


def reached(record: PersonRecord, device_id: str) -> list[Protocol]:
    """The protocols that can name a device."""
    held = {each.device_id for each in record.credentials}
    others = [each for each in Protocol if each is not Protocol.ACTIVESYNC]
    by_id = [] if device_id.startswith("credential:") else [Protocol.ACTIVESYNC]
    return [*by_id, *(others if device_id in held else [])]


def round_of(seed: int, found: Counter[str]) -> None:
    """One random fleet under two random policies."""
    draw = Draw(seed)
    people = draw.fleet(draw.random.randint(1, 8))
    versions = [draw.policy(len(people), number) for number in (1, 2)]
    policies = [replace(policy_of(version), ageing=draw.ageing()) for version in versions]
    try:
        everything(people, policies, found, seed)
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--first-seed", type=int, default=1)
    args = parser.parse_args()
    found: Counter[str] = Counter()
    began, seed = time.monotonic(), args.first_seed
    while found["devices"] + found["user-wide"] < args.decisions:
        round_of(seed, found)
        seed += 1
    print(f"no difference in {time.monotonic() - began:.0f} s, seeds {args.first_seed} to {seed - 1}: {dict(found)}")


if __name__ == "__main__":
    main()
