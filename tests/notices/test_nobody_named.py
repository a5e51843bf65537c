"""What a mail server says of a reader stands in the notice alone: nobody else hears it, and erasing takes all of it."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.domain.notice import MailingState, NoticeKind, NoticeState, mailing_moved
from gateway.domain.operator import Role
from gateway.notices.desk import NoticeDesk
from gateway.notices.outbox import Outbox
from gateway.ports.store import Person, Store, Writing
from gateway.storage.sql import open_store
from tests.notices.receiving import Manners, receiving_server
from tests.notices.stage import Clock, composer, fill, outbox, planned, smtp, until_idle
from tests.support.control import Control

CUT = NoticeKind.CUT
READERS = [Person(f"reader{number}@corp.example", address=f"r{number}@Private.Example") for number in range(8)]
NAMES = [name for each in READERS for name in (each.person_id, each.address.lower())]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path}/gatepost.db", writable=True)
    yield opened
    await opened.close()


def named_in(text: str) -> list[str]:
    return [name for name in NAMES if name in text.lower()]


def control_of(store: Store, box: Outbox, clock: Clock) -> Control:
    """Its troubles are those of the outbox, as ``app.noticing`` wires them."""
    control = Control(store=store, now=clock())

    async def about(*told: object) -> Any:
        raise AssertionError("nothing is ordered here")

    def troubles() -> list[str]:
        return [box.trouble] if box.trouble else []

    control.notices = NoticeDesk(store, composer(), about, clock, troubles=troubles)
    control.warnings = troubles()
    return control


async def shown_to_a_viewer(control: Control) -> str:
    """All that ``status`` and ``notice list`` say, and the audit log."""
    async with await control.client("vera", exactly=Role.VIEWER) as api:
        answers = [await api.get(path) for path in ("/status", "/notices", "/changes/1")]
        assert [each.status_code for each in answers] == [200, 200, 200]
    async with control.store.read() as reading:
        entries = [each.entry.decode() for each in await reading.audit_entries()]
    return "\n".join([*(each.text for each in answers), *entries])


async def erased(control: Control, people: Sequence[Person]) -> None:
    async with await control.client() as api:
        for person in people:
            gone = await api.delete(f"/people/{person.person_id}", params={"reason": "has left"})
            assert gone.status_code == 200, gone.text


async def test_refusals_that_name_the_reader(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    await fill(store, READERS)
    await planned(store, READERS)
    refused = frozenset(each.address for each in READERS)
    with capture_logs() as logs:
        async with receiving_server(Manners(refused=refused, names=True)) as server:
            box = outbox(store, smtp(server.port), clock)
            await until_idle(box)
    control = control_of(store, box, clock)
    told = await shown_to_a_viewer(control)
    assert "notices in a row were refused, the last one: 550 5.1.1)" in told
    assert "the last one: 550 5.1.1" in json.dumps(logs, default=str)
    assert (named_in(told), named_in(json.dumps(logs, default=str))) == ([], [])
    async with store.read() as reading:
        failed = await reading.notices(1, (NoticeState.FAILED,))
    assert {each.answer for each in failed} <= {f"550 5.1.1 <{each.address}>: unknown here" for each in READERS}
    assert len(failed) >= 5, "who may see the reader sees all that the server said"
    await erased(control, READERS)
    assert named_in(await shown_to_a_viewer(control)) == []
    for path in tmp_path.iterdir():  # noqa: ASYNC240  (a test's own files)
        assert named_in(path.read_bytes().decode("latin-1")) == [], path


async def test_a_server_that_names_whom_it_puts_off(store: Store) -> None:
    clock = Clock()
    await fill(store, READERS)
    await planned(store, READERS)
    with capture_logs() as logs:
        async with receiving_server(Manners(greylisted=1.0, names=True)) as server:
            box = outbox(store, smtp(server.port), clock)
            await box.step()
            server.greylisted.clear()
            for _ in range(3):
                clock.at += 1_000
                await box.step()
                server.greylisted.clear()
    assert "450 4.7.1" in box.trouble
    told = await shown_to_a_viewer(control_of(store, box, clock))
    assert "450 4.7.1" in told
    assert (named_in(told), named_in(json.dumps(logs, default=str))) == ([], [])


async def test_what_a_version_before_wrote_into_a_mailing_goes_with_the_person(store: Store) -> None:
    clock = Clock()
    await fill(store, READERS)
    await planned(store, READERS)
    words = "5 notices in a row were refused, the last one: 550 5.1.1 <R3@private.example>; ask reader30@corp.example"

    async def stop(writing: Writing) -> None:
        (mailing,) = await writing.mailings(1)
        await writing.put_mailing(mailing_moved(mailing, MailingState.STOPPED, words))

    await store.write(stop)
    box = outbox(store, smtp(9), clock)
    await erased(control_of(store, box, clock), READERS[3:4])
    async with store.read() as reading:
        (mailing,) = await reading.mailings(1)
    assert mailing.words == words.replace("R3@private.example", "(erased)"), "reader30 is somebody else"
    assert mailing.state is MailingState.STOPPED
