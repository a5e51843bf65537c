"""Whatever happens, in whatever order: exactly those are announced whose records became others."""

import asyncio
import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import UNKNOWN_DEVICE, PersonRecord
from gateway.domain.posture import open_hits
from gateway.inventory.mail_devices import Sighting
from gateway.inventory.people import PersonRow
from gateway.ports.store import Conflict, PinnedBinding
from gateway.storage.memory import MemoryStore
from tests.inventory.chain import Chain, names
from tests.inventory.events import GMAIL, NOW, TIKTOK, full
from tests.inventory.receiving import OTHER_SECRET, SECRET, source

LOGINS = ("ann@example.com", "bob@example.com", "cy@example.com", "dan@example.com")
DEVICE_IDS = ("phone1", "phone2", "applf17abcdefg8j")
SUBJECTS = ("d1", "d2", "d3")
SECRETS = {"agents": SECRET, "others": OTHER_SECRET}

_sources, _subjects = st.sampled_from(sorted(SECRETS)), st.sampled_from(SUBJECTS)
_logins, _device_ids = st.sampled_from(LOGINS), st.sampled_from(DEVICE_IDS)
STEPS = st.one_of(
    st.tuples(
        st.just("report"),
        _sources,
        _subjects,
        st.lists(_logins, max_size=2, unique=True),
        st.lists(_device_ids, max_size=2, unique=True),
        st.booleans(),
        st.sampled_from([(), ("serial",)]),
    ),
    st.tuples(st.just("sighting"), _logins, _device_ids),
    st.tuples(st.just("check out"), _sources, _subjects),
    st.tuples(st.just("pin"), _logins, _device_ids, _sources, _subjects, st.booleans()),
    st.tuples(st.just("unpin"), _logins, _device_ids, _sources, _subjects),
    st.tuples(st.just("forget"), _logins, st.sampled_from(("", *DEVICE_IDS))),
    st.tuples(st.just("import"), _logins, st.lists(_logins, max_size=2, unique=True), st.sampled_from(["a", "b"])),
)


async def records_of(chain: Chain) -> dict[str, PersonRecord]:
    """Everybody's record, without the sequence, which says only when it was read."""
    found = {}
    async with chain.store.read() as reading:
        people = await reading.people()
    for login in {*LOGINS, *(name for person in people for name in person.aliases)}:
        found[login] = _without_sequence(await chain.record(login))
    return found


def _without_sequence(record: PersonRecord) -> PersonRecord:
    return replace(record, sequence=0)


async def do(chain: Chain, number: int, step: tuple[Any, ...]) -> None:
    kind, *values = step
    if kind == "report":
        source_id, subject, users, eas, dirty, more = values
        keys = names(*users, eas=eas, **({"serial": "F17ABCDEFG8J"} if more else {}))
        event = full(number + 1, (GMAIL, TIKTOK) if dirty else (GMAIL,), subject=subject, device=keys)
        await chain.post(json.dumps(event).encode(), secret=SECRETS[source_id])
    elif kind == "sighting":
        await chain.mail_devices.take([Sighting(values[0], values[1], NOW + number)])
    elif kind == "check out":
        await chain.ingest.check_out(*values)
    elif kind == "forget":
        await chain.forget(*values)
    elif kind == "import":
        login, aliases, group = values
        await chain.people.take([PersonRow(login, (group,), tuple(aliases))])
    else:
        login, device_id, source_id, subject, *bound = values
        pin = PinnedBinding(login, device_id, source_id, subject, bool(bound and bound[0]), "root", NOW)
        await (chain.pin(pin) if kind == "pin" else chain.unpin(pin))


@given(st.lists(STEPS, min_size=1, max_size=12))
def test_exactly_those_whose_records_changed(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[Any, ...]]) -> None:
    chain = Chain(MemoryStore())
    await chain.write(source(), source("others", secrets=(OTHER_SECRET,)))
    before = await records_of(chain)
    for number, step in enumerate(steps):
        try:
            await do(chain, number, step)
        except (Conflict, InvalidValue):
            # A login of somebody else, a device never reported: refused as a whole.
            assert await chain.told() == set()
        told, after = await chain.told(), await records_of(chain)
        changed = {login for login in {*before, *after} if before.get(login) != after.get(login)}
        assert changed <= told, (step, changed - told)
        # Those announced beside them are other names of the same people.
        for login in told - changed:
            assert told & changed & {*after[login].logins, *(before[login].logins if login in before else ())}, step
        _nothing_vanished(chain, step, before, after)
        before = after


def _nothing_vanished(
    chain: Chain, step: tuple[Any, ...], before: dict[str, PersonRecord], after: dict[str, PersonRecord]
) -> None:
    """No hit of a mail device ends without a newer list in its place, or an operator who forgets it."""
    if step[0] == "forget":
        return
    index = chain.policy.index
    for record in before.values():
        for device_id, device in record.devices.items():
            # A name of the person may be somebody else's from now on, and takes its own devices along.
            there = [after[login] for login in record.logins]
            for hit in open_hits(device, index):
                assert any(
                    open_hits(new.devices.get(device_id, UNKNOWN_DEVICE), index) or _newest(new) > hit.at
                    for new in there
                ), (step, record.person_id, device_id)


def _newest(record: PersonRecord) -> float:
    """When the newest list in a record was made, under whichever device it stands."""
    devices = (*record.devices.values(), *record.unbound)
    return max((source.generated_at for device in devices for source in device.sources), default=0.0)
