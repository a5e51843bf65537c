"""The states of a notice and its names."""

import pytest

from gateway.domain.errors import InvalidValue
from gateway.domain.notice import (
    CLAIMABLE,
    RESENDABLE,
    TOLD,
    WAITING,
    WAYS,
    Mailing,
    MailingState,
    Notice,
    NoticeKind,
    NoticeState,
    Reader,
    mailing_moved,
    message_id_of,
    moved,
    place_of,
)

KEY = b"k" * 32
READER = Reader("ann@corp.example", "ann@corp.example", "en", "")
NOTICE = Notice(7, NoticeKind.WARNING, READER, "<a@b>")


def test_what_may_have_reached_a_reader_is_never_cancelled() -> None:
    assert {state for state, ways in WAYS.items() if NoticeState.CANCELLED in ways} == WAITING
    assert not WAITING & TOLD


def test_only_an_answer_or_its_loss_follows_the_transmission() -> None:
    assert WAYS[NoticeState.TRANSMITTING] == {
        NoticeState.SENT,
        # The answer that nothing will be taken by this way: not this notice's doing, it counts as no attempt.
        NoticeState.DUE,
        NoticeState.DEFERRED,
        NoticeState.FAILED,
        NoticeState.UNCERTAIN,
    }


def test_nothing_that_may_have_arrived_is_taken_up_by_itself() -> None:
    assert not CLAIMABLE & (TOLD | {NoticeState.TRANSMITTING, NoticeState.FAILED, NoticeState.BOUNCED})
    assert all(NoticeState.DUE in WAYS[state] for state in RESENDABLE)


def test_a_step_that_no_way_leads_to_is_refused() -> None:
    with pytest.raises(InvalidValue, match="planned cannot become sent"):
        moved(NOTICE, NoticeState.SENT)
    assert moved(NOTICE, NoticeState.DUE, 5.0).version == 1


def test_a_cancelled_mailing_is_over() -> None:
    mailing = mailing_moved(Mailing(7, NoticeKind.CUT, 0.0, "ann"), MailingState.CANCELLED, "withdrawn")
    with pytest.raises(InvalidValue, match="are cancelled"):
        mailing_moved(mailing, MailingState.SENDING)


def test_a_message_id_is_the_same_each_time_and_tells_nobody_who_it_is_for() -> None:
    first = message_id_of(KEY, 7, NoticeKind.CUT, "ann@corp.example", "corp.example")
    assert first == message_id_of(KEY, 7, NoticeKind.CUT, "ann@corp.example", "corp.example")
    assert first.startswith("<gp.7.cut.")
    assert "ann" not in first
    others = {
        message_id_of(KEY, 8, NoticeKind.CUT, "ann@corp.example", "corp.example"),
        message_id_of(KEY, 7, NoticeKind.WARNING, "ann@corp.example", "corp.example"),
        message_id_of(KEY, 7, NoticeKind.CUT, "bob@corp.example", "corp.example"),
        message_id_of(b"x" * 32, 7, NoticeKind.CUT, "ann@corp.example", "corp.example"),
    }
    assert len(others | {first}) == 5


def test_places_mix_people() -> None:
    places = [place_of(KEY, 7, f"user{number:04}@corp.example") for number in range(200)]
    assert places != sorted(places)
    assert all(0 <= place < 1 << 31 for place in places)
