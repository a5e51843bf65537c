"""From a change to Sent Items and back: notices into Exchange by a gateway's settings, one of them uncertain."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.changes.applying import Applier
from gateway.domain.notice import NoticeState
from gateway.notices.outbox import Outbox
from gateway.settings import check_complete, load_settings
from tests.network.authority import Authority
from tests.notices.ews_answers import T
from tests.notices.ews_server import Act, Ews, Sent, ews_server
from tests.notices.test_change_to_mailbox import CUT, enforced, fill, noticing_of
from tests.support.control import Control
from tests.support.evidence_strategies import NOW


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[Ews]:
    async with ews_server(authority.issue().server(), password="secret") as ews:
        yield ews
        assert ews.problems == []


def settings_of(directory: Path, ews: Ews, authority: Authority, **more: str) -> dict[str, str]:
    told = {
        "SENDER": "notices@corp.example",
        "SERVER": f"ews+{ews.url}",
        "SERVER_CA": str(authority.certificate),
        "USERNAME": "CORP\\gatepost",
        "PASSWORD": "secret",
        "IMPERSONATE": "true",
        "HOLD_SECONDS": "0",
        "PER_SECOND": "1000",
        "TELL": "never",
        **more,
    }
    return {
        "GATEPOST_HTTP__UPSTREAM": "https://mail.internal",
        "GATEPOST_GATEWAY__DATA_DIR": str(directory),
        **{f"GATEPOST_NOTICES__{name}": value for name, value in told.items()},
    }


class Whole:
    """A control process whose notices go to Exchange, and a change that cuts two people."""

    def __init__(self, settings: dict[str, str]) -> None:
        loaded = load_settings(None, settings)
        check_complete(loaded, "all")
        self.control = control = Control(now=NOW)
        self.noticing = noticing = noticing_of(loaded, control)
        control.notices = noticing.desk
        self.applier = Applier(
            control.store,
            control,
            control.publish,
            control.workers,
            lambda: control.now,
            withdrawn=noticing.withdrawn,
            telling=noticing.telling,
        )
        assert noticing._outbox is not None
        self.outbox: Outbox = noticing._outbox
        self.number = 0

    async def told(self) -> None:
        """Plan the notices and let them go."""
        await fill(self.control)
        self.number = await enforced(self.control, self.applier)
        async with await self.control.client() as api:
            planned = await api.post(f"/notices/{self.number}", json={"kind": "cut", "urgent": True})
            assert planned.status_code == 200, planned.text
        assert self.noticing._recipients is not None
        await self.noticing._recipients.look()
        for _ in range(4):
            await self.outbox.step()

    async def lines(self, kind: str) -> dict[str, tuple[str, str]]:
        """State and the server's answer by reader, as ``gatepost notice show`` has them."""
        async with await self.control.client() as api:
            shown = (await api.get(f"/notices/{self.number}", params={"reason": "x"})).json()["notices"]
        return {each["user"]: (each["state"], each["answer"]) for each in shown if each["kind"] == kind}

    async def withdrawn(self) -> None:
        """Take the change back; the corrections go."""
        await self.applier.withdraw(self.number, "ann", "sent in error")
        for _ in range(4):
            await self.outbox.step()


def references(sent: Sent) -> str:
    return str(sent.item.findtext(f"{T}References"))


async def test_sent_with_a_copy_an_uncertain_one_settled_by_its_copy_and_corrections_in_the_thread(
    server: Ews, authority: Authority, tmp_path: Path
) -> None:
    whole = Whole(settings_of(tmp_path, server, authority))
    server.script.extend([Act(), Act("cut_after")])
    await whole.told()
    states = sorted(state for state, _ in (await whole.lines("cut")).values())
    assert states == ["sent", "uncertain"]
    assert await whole.outbox.settling.step() == 0, "a copy is given a minute to appear"
    whole.control.now += 61
    assert await whole.outbox.settling.step() == 1
    lines = await whole.lines("cut")
    assert {state for state, _ in lines.values()} == {"sent"}
    assert any("its copy is in Sent Items: it was sent" in answer for _, answer in lines.values())
    assert sorted(each.recipient for each in server.sent) == list(CUT)
    first = {each.recipient: each.message_id for each in server.sent}
    await whole.withdrawn()
    corrections = {each.recipient: each for each in server.sent[2:]}
    assert {recipient: references(each) for recipient, each in corrections.items()} == first
    assert all(each.subject.startswith("Re: ") for each in corrections.values())
    assert {state for state, _ in (await whole.lines("correction")).values()} == {"sent"}
    assert set(server.impersonated) == {"notices@corp.example"}
    await whole.outbox._delivery.close()


async def test_what_left_no_copy_stays_uncertain_says_so_and_gets_its_correction(
    server: Ews, authority: Authority, tmp_path: Path
) -> None:
    whole = Whole(settings_of(tmp_path, server, authority))
    server.script.extend([Act("cut_before"), Act("cut_before")])
    await whole.told()
    for wait in (61, 540, 3_000):
        whole.control.now += wait
        assert await whole.outbox.settling.step() == 0
        looks = server.operations().count("FindItem")
        assert await whole.outbox.settling.step() == 0
        assert server.operations().count("FindItem") == looks, "not before its time"
    for state, answer in (await whole.lines("cut")).values():
        assert state == "uncertain"
        assert answer.startswith("the answer was lost")
        assert answer.endswith("; no copy in Sent Items: probably not sent")
        assert answer.count("no copy") == 1
    assert server.operations().count("CreateItem") == 2, "never sent again by itself"
    await whole.withdrawn()
    assert sorted(each.recipient for each in server.sent) == list(CUT)
    await whole.outbox._delivery.close()


async def test_a_correction_looks_first_for_what_has_been_sent(
    server: Ews, authority: Authority, tmp_path: Path
) -> None:
    """It does not wait for the minute to be over, else it would not stand in the thread."""
    whole = Whole(settings_of(tmp_path, server, authority))
    server.script.extend([Act("cut_after"), Act("cut_after")])
    await whole.told()
    assert {state for state, _ in (await whole.lines("cut")).values()} == {"uncertain"}
    first = {each.recipient: each.message_id for each in server.sent}
    await whole.withdrawn()
    assert {each.recipient: references(each) for each in server.sent[2:]} == first
    assert {state for state, _ in (await whole.lines("cut")).values()} == {"sent"}
    await whole.outbox._delivery.close()


async def test_a_server_that_cannot_be_asked_says_nothing_of_copies(
    server: Ews, authority: Authority, tmp_path: Path
) -> None:
    whole = Whole(settings_of(tmp_path, server, authority))
    server.script.extend([Act("cut_before"), Act("cut_before")])
    await whole.told()
    server.password = "changed"
    whole.control.now += 61
    assert await whole.outbox.settling.step() == 0
    async with whole.control.store.read() as reading:
        notices = await reading.notices(whole.number, (NoticeState.UNCERTAIN,))
    assert len(notices) == 2
    assert not any("no copy" in each.answer for each in notices)
    await whole.outbox._delivery.close()


async def test_a_process_that_ends_between_sending_and_writing_it_down(
    server: Ews, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it sent is uncertain to the next one, until the copies say otherwise; nothing goes twice."""
    whole = Whole(settings_of(tmp_path, server, authority))

    async def ended(mailing: object, notice: object, attempt: object) -> None:
        """Nothing is written any more."""

    with monkeypatch.context() as patched:
        patched.setattr(whole.outbox._bringing, "_tell", ended)
        await whole.told()
    assert {state for state, _ in (await whole.lines("cut")).values()} == {"transmitting"}
    whole.control.now += 1_201
    await whole.outbox.step()
    assert {state for state, _ in (await whole.lines("cut")).values()} == {"uncertain"}
    assert await whole.outbox.settling.step() == 2
    assert {state for state, _ in (await whole.lines("cut")).values()} == {"sent"}
    assert sorted(each.recipient for each in server.sent) == list(CUT)
    async with whole.control.store.read() as reading:
        notices = await reading.notices(whole.number, (NoticeState.SENT,))
    assert {each.message_id for each in notices} == {each.message_id for each in server.sent}
    await whole.outbox._delivery.close()
