"""What a payload must be, and what is told where it is not."""

from tests.inventory.events import full, moment
from tests.inventory.payloads import PAYLOADS, changed
from tests.inventory.receiving import Receiving

APPLIED = (202, "applied")


async def test_payloads_that_are_refused(receiver: Receiving) -> None:
    for members, words in PAYLOADS:
        answer = await receiver.post(changed(**members))
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (422, "urn:gatepost:problem:invalid_payload"), members
        told = [problem["detail"], *(f"{each['pointer']}: {each['detail']}" for each in problem["errors"])]
        assert any(words in each for each in told), (words, told)
    assert await receiver.sequence() == 0
    assert await receiver.inventory() is None


async def test_payloads_with_more_than_is_needed(receiver: Receiving) -> None:
    event = changed(data__apps__0__name="A\u202eB\x00C", data__apps__0__version_code=2**63 - 1)
    # CloudEvents 1.0 §3.1: extension attributes may stand beside the others.
    event |= {"traceparent": "00-abc", "dataschema": "https://x.example/s", "sequence": "0" * 19 + "7"}
    assert await receiver.status(event) == APPLIED
    inventory = await receiver.inventory()
    assert inventory is not None
    assert inventory.apps[0].name == "A B C"
    assert inventory.apps[0].version_code == 2**63 - 1


async def test_many_errors_are_told_at_once_but_not_all(receiver: Receiving) -> None:
    answer = await receiver.post(full(1, [""] * 500))
    assert len(answer.json()["errors"]) == 20


async def test_moments_with_offsets_and_fractions(receiver: Receiving) -> None:
    for number, written in enumerate(("2026-11-20T09:17:01.5+01:00", "2026-11-20T08:17:02.123456789Z"), 1):
        assert await receiver.status(changed(data__generated_at=written, data__sequence=number)) == APPLIED
    inventory = await receiver.inventory()
    assert inventory is not None
    assert moment(inventory.generated_at) == "2026-11-20T08:17:02.123Z"
