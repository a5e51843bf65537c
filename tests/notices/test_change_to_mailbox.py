"""From a change that cuts people to what stands in their mailboxes, by the API that operators use."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.app.noticing import Noticing
from gateway.changes import edits
from gateway.changes.apply import ensure_first_policy
from gateway.changes.applying import Applied, Applier, NotApplied, Rules
from gateway.changes.desk import Actor, ChangeDesk
from gateway.changes.guards import GuardLimits
from gateway.changes.scheduling import Schedule
from gateway.domain.bans import Flag
from gateway.domain.change import State
from gateway.ports.store import MailDevice, Person, Writing
from gateway.settings import Settings, check_complete, load_settings
from tests.notices.receiving import Manners, Receiving, receiving_server
from tests.support.control import Control
from tests.support.evidence_strategies import MAIL, NOW, TIKTOK, TIKTOK_BAN, bound, of_person, seen

ANN, BOB = Actor("ann", "t1"), Actor("bob", "t2")
CUT = ("p0@corp.example", "p1@corp.example")


def settings_of(directory: Path, port: int) -> dict[str, str]:
    return {
        "GATEPOST_HTTP__UPSTREAM": "https://mail.internal",
        "GATEPOST_GATEWAY__DATA_DIR": str(directory),
        "GATEPOST_NOTICES__SENDER": "notices@corp.example",
        "GATEPOST_NOTICES__SERVER": f"smtp://127.0.0.1:{port}",
        "GATEPOST_NOTICES__HOLD_SECONDS": "0",
        "GATEPOST_NOTICES__PER_SECOND": "1000",
        "GATEPOST_NOTICES__TELL": "never",
    }


def noticing_of(settings: Settings, control: Control) -> Noticing:
    return Noticing(settings, control.store, control.load_record, lambda: control.now, lambda outcome: None, control)


async def fill(control: Control) -> None:
    await ensure_first_policy(control.store, control.publish, NOW)
    for number in range(4):
        login = f"p{number}@corp.example"
        record = of_person(bound(seen(TIKTOK if login in CUT else MAIL)))
        (device,) = record.devices
        control.records[login] = replace(record, person_id=login)
        told = json.dumps({"Model": f"Pixel {number}"})

        async def work(writing: Writing, login: str = login, device: str = device, told: str = told) -> None:
            await writing.put_person(Person(login, language="es"))
            await writing.put_mail_device(MailDevice(login, device, NOW, NOW, device_information=told))

        await control.store.write(work)


async def enforced(control: Control, applier: Applier) -> int:
    """A change that cuts two people, in force; its number."""
    number = 0
    desk = ChangeDesk(control.store, control, lambda: control.now)
    for edit in (
        lambda version: edits.add_ban(version, replace(TIKTOK_BAN, flag=Flag.REPORT_ONLY)),
        lambda version: edits.set_flag(version, TIKTOK_BAN.name, Flag.ENFORCE),
    ):
        change = await desk.propose(ANN, edit)
        assert change is not None
        number = change.number
        change, _ = await desk.preview(change.number, "ann")
        assert change.preview is not None
        await desk.approve(change.number, BOB, change.preview.digest)
        assert isinstance(await applier.apply(change.number, "ann"), Applied)
    return number


@pytest.fixture
async def server() -> AsyncIterator[Receiving]:
    async with receiving_server(Manners()) as receiving:
        yield receiving


async def test_exactly_those_who_are_cut_are_told_and_told_again_when_it_is_taken_back(
    server: Receiving, tmp_path: Path
) -> None:
    control = Control(now=NOW)
    settings = load_settings(None, settings_of(tmp_path, server.port))
    check_complete(settings, "all")
    noticing = noticing_of(settings, control)
    control.notices = noticing.desk
    applier = Applier(
        control.store,
        control,
        control.publish,
        control.workers,
        lambda: control.now,
        withdrawn=noticing.withdrawn,
        telling=noticing.telling,
    )
    await fill(control)
    number = await enforced(control, applier)
    outbox = noticing._outbox
    assert outbox is not None
    async with await control.client() as api:
        planned = await api.post(f"/notices/{number}", json={"kind": "cut", "urgent": True})
        assert (planned.status_code, planned.json()["state"], planned.json()["people"]) == (200, "planning", None)
        assert noticing._recipients is not None
        await noticing._recipients.look()
        (mailing,) = (await api.get("/notices")).json()["mailings"]
        assert (mailing["state"], mailing["notices"]) == ("sending", {"planned": 2})
        while await outbox.step() or not server.mailboxes:
            pass
        assert sorted(server.mailboxes) == list(CUT)
        (notice,) = server.mailboxes[CUT[0]]
        text = str(notice.get_payload(0))
        assert "en pausa en Pixel 0" in text
        assert TIKTOK_BAN.name in text
        await applier.withdraw(number, "ann", "sent in error")
        for _ in range(5):
            await outbox.step()
        assert [len(mails) for mails in server.mailboxes.values()] == [2, 2]
        listed = await api.get("/notices")
        states = {each["kind"]: (each["state"], each["notices"]) for each in listed.json()["mailings"]}
        assert states == {"correction": ("finished", {"sent": 2}), "cut": ("cancelled", {"sent": 2})}
        nothing = await api.get(f"/notices/{number}")
        assert (nothing.status_code, "give a reason" in nothing.json()["detail"]) == (422, True)
        shown = await api.get(f"/notices/{number}", params={"limit": 3, "reason": "did they get it?"})
        async with control.store.read() as reading:
            looked = json.loads((await reading.audit_entries(0, 1000))[-1].entry)
        assert (looked["kind"], looked["actor"], len(looked["subjects"])) == ("person_viewed", "anna", 2)
        assert looked["details"] == {"change": number, "reason": "did they get it?", "what": "notices"}
        assert [(each["user"], each["kind"], each["state"]) for each in shown.json()["notices"]] == [
            (CUT[0], "correction", "sent"),
            (CUT[0], "cut", "sent"),
            (CUT[1], "correction", "sent"),
        ]
        again = await api.post(f"/notices/{number}/cut/resend", json={"user": CUT[0]})
        assert (again.status_code, "only bounced, expired, failed, uncertain" in again.json()["detail"]) == (422, True)


@pytest.fixture
async def guarded(tmp_path: Path) -> Control:
    """One person may turn one device; a change of two waits for the other one's yes."""
    control = Control(now=NOW, rules=Rules(GuardLimits(devices=1)))
    control.notices = noticing_of(load_settings(None, settings_of(tmp_path, 9)), control).desk
    await fill(control)
    return control


async def test_nobody_announces_alone_what_nobody_may_do_alone(guarded: Control) -> None:
    """A message sent in error is what this is all about."""
    async with await guarded.client("ann") as ann, await guarded.client("bob") as bob:
        ban = {"name": "TikTok", "id": "android:com.zhiliaoapp.musically", "flag": "enforce"}
        change = (await ann.post("/changes", json={"bans": {"ban": [ban]}})).json()["change"]
        warning = {"kind": "warning", "deadline": "2001-09-11T00:00:00Z", "urgent": True, "hold_seconds": 0}
        refused = await ann.post(f"/notices/{change['number']}", json=warning)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:gatepost:problem:needs_approval")
        assert "devices newly cut; one person alone may turn 1 within a day" in refused.json()["detail"]
        assert (await ann.get("/notices")).json()["mailings"] == []
        assert (await bob.post(f"/changes/{change['number']}/approve", json={"digest": change["digest"]})).is_success
        assert (await ann.post(f"/notices/{change['number']}", json=warning)).is_success
        assert [each["kind"] for each in (await ann.get("/notices")).json()["mailings"]] == ["warning"]


async def test_a_deadline_is_a_moment_that_readers_may_live_to_see(guarded: Control) -> None:
    guarded.rules = Rules(second_person=False)
    async with await guarded.client("ann") as ann:
        ban = {"name": "TikTok", "id": "android:com.zhiliaoapp.musically", "flag": "enforce"}
        number = (await ann.post("/changes", json={"bans": {"ban": [ban]}})).json()["change"]["number"]
        for deadline in ("2002-10-01T00:00:00Z", "9999-12-31T23:59:59Z"):
            refused = await ann.post(f"/notices/{number}", json={"kind": "warning", "deadline": deadline})
            assert (refused.status_code, "more than a year ahead" in refused.json()["detail"]) == (422, True)


async def test_warned_then_cut_then_taken_back_is_one_thread_and_the_change_comes_by_itself(
    server: Receiving, tmp_path: Path
) -> None:
    control = Control(now=NOW)
    told = {"TELL": "warning-first", "WARNED_HOURS": "48", "TIME_ZONE": "Etc/GMT-10"}
    given = {
        **settings_of(tmp_path, server.port),
        **{f"GATEPOST_NOTICES__{name}": value for name, value in told.items()},
    }
    noticing = noticing_of(load_settings(None, given), control)
    applier = Applier(
        control.store,
        control,
        control.publish,
        control.workers,
        lambda: control.now,
        rules=lambda: Rules(second_person=False),
        withdrawn=noticing.withdrawn,
        telling=noticing.telling,
    )
    await fill(control)
    desk = ChangeDesk(control.store, control, lambda: control.now)
    change = await desk.propose(ANN, lambda version: edits.add_ban(version, TIKTOK_BAN))
    assert change is not None
    await desk.preview(change.number, "ann")
    assert isinstance(await applier.apply(change.number, "ann"), NotApplied)
    await until_mails(noticing, server, 1)
    control.now += 48 * 3600
    await Schedule(control.store, applier, lambda: control.now).look()
    async with control.store.read() as reading:
        applied = await reading.policy_change(change.number)
    assert applied is not None
    assert applied.state is State.APPLIED
    await until_mails(noticing, server, 2)
    await applier.withdraw(change.number, "ann", "sent in error")
    await until_mails(noticing, server, 3)
    assert sorted(server.mailboxes) == list(CUT)
    for warning, cut, correction in server.mailboxes.values():
        assert cut["In-Reply-To"] == warning["Message-ID"]
        assert correction["References"] == f"{warning['Message-ID']} {cut['Message-ID']}"
        assert cut["Subject"] == correction["Subject"] == f"Re: {warning['Subject']}"


async def until_mails(noticing: Noticing, server: Receiving, number: int) -> None:
    """Until everybody who is to be told has so many."""
    assert noticing._recipients is not None
    assert noticing._outbox is not None
    await noticing._recipients.look()
    async with asyncio.timeout(10):
        while [len(server.mailboxes[login]) for login in CUT] != [number, number]:
            await noticing._outbox.step()


async def test_without_a_sender_nothing_is_planned_and_status_is_silent(tmp_path: Path) -> None:
    control = Control()
    settings = load_settings(None, {"GATEPOST_GATEWAY__DATA_DIR": str(tmp_path)})
    noticing = noticing_of(settings, control)
    assert (noticing.desk, noticing.sentences()) == (None, [])
    async with await control.client() as api:
        answer: httpx.Response = await api.post("/notices/1", json={"kind": "cut"})
        assert (answer.status_code, "[notices] sender" in answer.json()["detail"]) == (422, True)
        assert (await api.get("/notices")).json() == {"sending": False, "warnings": [], "mailings": []}
