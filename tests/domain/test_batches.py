"""Few notices leave first; a mailing whose notices do not arrive stops."""

from gateway.domain.batches import RETRY_SECONDS, Batches, batch_size, retry_after, tried_of, why_to_stop
from gateway.domain.notice import NoticeState

BATCHES = Batches(first=20, factor=4, largest=1_000)


def test_batches_rise_to_a_limit() -> None:
    assert [batch_size(BATCHES, number) for number in range(5)] == [20, 80, 320, 1_000, 1_000]
    assert batch_size(BATCHES, 100_000) == 1_000


def test_some_failures_are_borne_and_many_are_not() -> None:
    assert tried_of({NoticeState.FAILED: 6, NoticeState.UNCERTAIN: 5, NoticeState.SENT: 89, NoticeState.DUE: 7}) == (
        100,
        11,
    )
    assert why_to_stop(BATCHES, 4, 4) == ""
    assert why_to_stop(BATCHES, 100, 10) == ""
    assert why_to_stop(BATCHES, 100, 11).startswith("11 of 100 notices")


def test_attempts_get_rarer() -> None:
    assert [retry_after(number) for number in range(1, 8)] == [*RETRY_SECONDS, 3_600.0, 3_600.0]
    assert retry_after(1, jitter=1.0) == 66.0
