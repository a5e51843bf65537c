"""Fleets of phones that report by one source each, for tests of the brake."""

from dataclasses import replace

from gateway.changes.impact.fleet import Fleet
from gateway.changes.impact.writing import Update, Writer
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import App
from gateway.domain.policy import Policy, first_policy, policy_of
from tests.support.evidence_strategies import DAY, MAIL, NOW, bound, denying, seen

STRICT: Policy = policy_of(replace(first_policy(0.0), unknowns=denying("stale")))
LASTING = {"agents": DAY, "jamf": DAY}


def phones(source: str, number: int, age: float, spread: float = 0.0, app: App = MAIL) -> list[PersonRecord]:
    """So many people with one phone each; the youngest list is ``age`` seconds old, others up to ``spread`` older."""
    return [_phone(source, place, age + spread * place / max(1, number - 1), app) for place in range(number)]


def _phone(source: str, place: int, age: float, app: App) -> PersonRecord:
    login, device_id = f"{source}{place}@corp.example", f"{source}{place}"
    device = bound(seen(app, source=source, device=device_id, age=age), device_id=device_id)
    return PersonRecord(login, True, (login,), frozenset(), {device_id: device})


def fleet_of(*people: PersonRecord) -> Fleet:
    """All of them."""
    writer = Writer("life", 7)
    writer.put(Update(each) for each in people)
    return writer.view()


SOON = DAY - 60
"""The age of a list that is stale in a minute."""
FRESH = 3600.0
assert NOW > DAY
