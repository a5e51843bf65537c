"""The same request with the same identity strength: the same question, verdict and reason by every way.

Each way is asked over its own wire about one and the same evidence and policy (``ways``); the people are those of
``people``. ``docs/conformance.md`` shows the table that follows.
"""

import pytest

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.verdict import Effect, Verdict
from tests.conformance.people import PEOPLE, Person
from tests.conformance.table import answered as answered_by_all
from tests.conformance.table import on_the_page, written
from tests.conformance.ways import GROUPS, Answered, Group

ANSWERS: dict[tuple[str, str, str], Answered] = {}
"""Of this run, for the page."""


def same_question(asked: AccessRequest) -> AccessRequest:
    """Without the client's address, which each test has of its own, and the moment, on which nothing depends."""
    # Inline the rule of other mail is part of the action, and Postfix asks at the recipient.
    said = asked.action if asked.protocol not in (Protocol.WEBMAIL, Protocol.SMTP) else ""
    return asked._replace(client_address="", action=said)


def same_verdict(verdict: Verdict) -> tuple[object, ...]:
    """Without the moments that follow from when the evidence was written."""
    return (
        *(verdict.effect, verdict.reason, verdict.posture, verdict.ban, verdict.app, verdict.would),
        *(verdict.would_reason, verdict.causes, verdict.device_id),
    )


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.title)
async def test_every_way_gives_the_same_verdict(group: Group, person: Person) -> None:
    expected, reason = person.of(group.strength)
    inline: Answered | None = None
    for way in group.ways:
        answered = await way.ask(person)
        ANSWERS[group.title, way.name, person.name] = answered
        assert answered.told is answered.verdict.effect is expected, way.name
        assert answered.verdict.reason is reason, way.name
        assert answered.reason in ("", reason.value), way.name
        assert (answered.asked.strength, answered.asked.protocol) == (group.strength, group.protocol), way.name
        if inline is None:
            # The first one of each group is Gatepost itself.
            inline = answered
        assert same_verdict(answered.verdict) == same_verdict(inline.verdict), way.name
        assert same_question(answered.asked) == same_question(inline.asked), way.name


async def test_the_page_has_the_table() -> None:
    """``python -m tests.conformance --write`` puts it there."""
    whole = len(ANSWERS) == sum(len(group.ways) for group in GROUPS) * len(PEOPLE)
    assert on_the_page() == written(ANSWERS if whole else await answered_by_all())


def test_the_people_are_of_every_kind() -> None:
    """Else the table would show nothing."""
    verdicts = {person.of(group.strength) for person in PEOPLE for group in GROUPS}
    assert {effect for effect, _ in verdicts} == set(Effect)
    assert len({reason for _, reason in verdicts}) > 10


def test_every_way_there_is() -> None:
    """A proxy or an asker that is added has its column."""
    strengths = {(group.protocol, group.strength) for group in GROUPS}
    assert {protocol for protocol, _ in strengths} == set(Protocol)
    assert {strength for _, strength in strengths} >= set(IdentityStrength) - {IdentityStrength.CLIENT_CERTIFICATE}
    assert all(group.ways[0].name.startswith("Gatepost") for group in GROUPS)
