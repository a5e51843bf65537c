"""``gatepost notice`` and what changes say of people who are told, as an operator sees it."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from gateway.app.noticing import Noticing
from gateway.cli import notices
from gateway.cli.client import AdminClient
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed, Unclear
from gateway.domain.notice import MailingState, NoticeKind
from gateway.ports.store import Person, Writing
from gateway.settings import load_settings
from tests.cli.conftest import USER, Gatepost
from tests.support.control import Control
from tests.support.served_control import Served, served

TIKTOK = ("TikTok", "--id", "android:com.zhiliaoapp.musically")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Served]:
    """One that sends notices; who is told is written down beside, as in a control process."""
    control = Control()
    noticing = Noticing(
        load_settings(
            None,
            {
                "GATEPOST_GATEWAY__DATA_DIR": str(tmp_path),
                "GATEPOST_NOTICES__SENDER": "notices@corp.example",
                "GATEPOST_NOTICES__SERVER": "smtp://127.0.0.1:9",
            },
        ),
        control.store,
        control.load_record,
        lambda: control.now,
        lambda outcome: None,
        control,
    )
    control.notices, control.telling = noticing.desk, noticing.telling
    control.now = time.time()
    # The log goes nowhere: what runs beside is in the process whose output the tests read.
    with structlog.testing.capture_logs(), served(control) as api:
        task = api.run(begin(noticing))
        yield api
        api.run(end(task))


async def begin(noticing: Noticing) -> "asyncio.Task[None]":
    return asyncio.get_running_loop().create_task(noticing.write_down(True))


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def enforced(gatepost: Gatepost, api: Served, ann: None) -> int:
    """A change that would cut ann, previewed and put off."""

    async def work(writing: Writing) -> None:
        await writing.put_person(Person(USER, language="de-AT"))
        await writing.put_person(Person("bob@corp.example"))

    api.run(api.control.store.write(work))
    gatepost("ban", "add", *TIKTOK, "--yes")
    waits = gatepost("flag", "set", "TikTok", "enforce", "--yes")
    assert "are warned first: it comes by itself in 2 days; to cut at once: gatepost apply 2" in waits.stdout
    return 2


def test_a_change_says_whom_it_tells_and_when_it_comes(gatepost: Gatepost, enforced: int) -> None:
    shown = gatepost("change", "show", "2").stdout
    assert "told            1 person, warned first: the change comes 48 hours later by itself (1 de)" in shown
    assert "comes           " in shown
    whole = json.loads(gatepost("change", "show", "2", "--json").stdout)
    stands = (whole["state"], whole["tell"], whole["undelivered"], whole["wrong"])
    assert stands == ("scheduled", "warning-first", 0, 0)


def test_programs_are_told_when_it_comes(gatepost: Gatepost, api: Served, enforced: int) -> None:
    answer = json.loads(gatepost("apply", "2", "--yes", "--json", expect=0).stdout)
    assert answer["change"] == 2
    assert datetime.fromisoformat(answer["comes_at"]).timestamp() == pytest.approx(api.control.now + 48 * 3600)


def test_plan_answers_when_everybody_is_written_down(gatepost: Gatepost, enforced: int) -> None:
    done = gatepost("apply", "2", "--tell", "never", "--yes").stdout
    assert "in force on 1 of 1 workers" in done
    planned = gatepost("notice", "plan", "2", "cut", "--yes").stdout
    assert planned.startswith("1 notices; the first ones leave at ")
    lines = gatepost("notice", "list").stdout.splitlines()
    assert [line.split()[1:3] for line in lines[1:]] == [["cut", "sending"], ["warning", "cancelled"]]
    assert "1 planned" in lines[1]


def test_plan_need_not_be_waited_for(gatepost: Gatepost, enforced: int) -> None:
    gatepost("apply", "2", "--tell", "never", "--yes")
    begun = json.loads(gatepost("notice", "plan", "2", "cut", "--no-wait", "--yes", "--json").stdout)
    assert (begun["state"], begun["people"], begun["looked_at"]) == ("planning", None, 0)


def test_while_recipients_are_written_down_it_shows_how_far_that_is(
    gatepost: Gatepost, api: Served, enforced: int
) -> None:
    async def halfway(writing: Writing) -> None:
        mailing = await writing.mailing(2, NoticeKind.WARNING)
        assert mailing is not None
        plan = replace(mailing.plan, waves=(), people=100_000, looked_at=1_500)
        step = replace(mailing, state=MailingState.PLANNING, version=mailing.version + 1, plan=plan)
        await writing.put_mailing(step)

    api.run(api.control.store.write(halfway))
    assert "1,500 of 100,000 written down" in gatepost("notice", "list").stdout
    assert "warning: 1,500 of 100,000 written down" in gatepost("notice", "show", "2", "--reason", "ticket 1").stderr


def test_readers_who_say_that_it_is_wrong_are_counted_where_an_operator_looks(
    gatepost: Gatepost, api: Served, enforced: int
) -> None:
    for token in ("a", "b"):
        api.run(api.control.store.write(partial(complain, token, api.control.now)))
    assert "called wrong    by 2 readers" in gatepost("change", "show", "2").stdout
    assert "2 readers say that the notice about change 2 is wrong: gatepost change show 2" in gatepost("status").stderr


async def complain(token: str, at: float, writing: Writing) -> None:
    await writing.put_complaint(2, token, at)


def test_stopped_notices_stand_in_status(gatepost: Gatepost, api: Served, enforced: int) -> None:
    gatepost("notice", "stop", "2", "warning", "--reason", "the text is wrong")
    said = gatepost("status").stderr
    assert "the warning notices of change 2 are stopped (the text is wrong): gatepost notice resume 2 warning" in said


def test_with_never_a_flag_is_in_force_at_once_and_nobody_is_told(gatepost: Gatepost, api: Served, ann: None) -> None:
    async def work() -> bool:
        async with api.control.store.read() as reading:
            return await reading.mailing(2, NoticeKind.CUT) is None

    gatepost("ban", "add", *TIKTOK, "--yes")
    done = gatepost("flag", "set", "TikTok", "enforce", "--tell", "never", "--yes").stdout
    assert "in force on 1 of 1 workers" in done
    assert api.run(work())


@pytest.mark.parametrize("kind", [Failed, Unclear])
def test_notices_that_are_ordered_stay_so_when_nobody_says_how_far_they_are(
    monkeypatch: pytest.MonkeyPatch, kind: type[Failed]
) -> None:
    class Away:
        def get(self, _: str, **query: object) -> dict[str, Any]:
            raise kind("Gatepost did not answer")

    monkeypatch.setattr(notices, "LOOK_SECONDS", 0.0)
    begun = {"change": 12, "kind": "cut", "state": "planning", "looked_at": 0, "people": None}
    with pytest.raises(
        kind, match="the cut notices of change 12 are ordered; how far they are is not known now"
    ) as end:
        notices._written_down(Desk(None, as_json=True, yes=True), cast("AdminClient", Away()), begun)
    assert type(end.value) is kind
