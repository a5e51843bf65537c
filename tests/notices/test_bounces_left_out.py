"""One message that cannot be looked for holds up no other, in any store; a store that is away holds up all."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.domain.notice import Notice, NoticeState
from gateway.notices.bounce_reports import CHANGES_BELOW, Bounce, bounces_in
from gateway.notices.bouncing import Bouncing
from gateway.ports.store import Conflict, Reading, Store, StoreUnavailable, Unstorable
from tests.notices.reports import report
from tests.notices.stage import KEY
from tests.notices.test_bounces import ANN, KEY_OF_ANN, Mailbox, bouncing, notice_of, sent
from tests.storage.conformance.conftest import store
from tests.storage.conftest import new_database, postgres

__all__ = ["new_database", "postgres", "store"]

TOKEN = "aGVsbG8gd29ybGQgISEh"


@pytest.mark.parametrize(
    "hostile",
    [
        report(f"99999999999/cut/{TOKEN}"),
        report(f"{CHANGES_BELOW}/cut/{TOKEN}"),
        report("", message_id=f"<gp.99999999999.cut.{TOKEN}@corp.example>"),
        report(f"1/cut/{TOKEN}", "ann+00@corp.example"),
    ],
    ids=["a large number", "the first too large", "in a Message-ID", "U+0000 in an address"],
)
async def test_a_report_that_no_database_can_look_for(store: Store, hostile: bytes) -> None:
    await sent(ANN, store=store)
    mailbox = Mailbox(hostile, report(KEY_OF_ANN))
    reader = bouncing(store, mailbox)
    with capture_logs() as logs:
        assert await reader.step() == 2
    assert (await notice_of(store)).state is NoticeState.BOUNCED
    assert mailbox.read == ["2"], "the other one stays unread"
    assert await reader.step() == 0, "and is not looked at again"
    assert [each["event"] for each in logs] == ["notice_bounced"], "known by its octets, without asking"


def test_the_largest_number_of_a_change_is_one() -> None:
    (bounce,) = bounces_in(report(f"{CHANGES_BELOW - 1}/cut/{TOKEN}"))
    assert bounce.change == CHANGES_BELOW - 1


class _Failing(Bouncing):
    """Fails to search at the first time."""

    error: Exception | None = None

    async def _searched(self, reading: Reading, bounce: Bounce) -> Notice | None:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return await super()._searched(reading, bounce)


def failing(store: Store, mailbox: Mailbox, error: Exception) -> _Failing:
    told: Any = mailbox
    reader = _Failing(store, told, KEY)
    reader.error = error
    return reader


@pytest.mark.parametrize("error", [Unstorable("a value bob@corp.example"), ValueError("bob@corp.example")])
async def test_one_that_fails_by_itself_is_left_out_with_a_word(error: Exception) -> None:
    store = await sent(ANN)
    mailbox = Mailbox(report(f"1/cut/{TOKEN}"), report(KEY_OF_ANN))
    reader = failing(store, mailbox, error)
    with capture_logs() as logs:
        assert await reader.step() == 2
    assert (await notice_of(store)).state is NoticeState.BOUNCED
    assert mailbox.read == ["2"]
    assert logs[0] == {
        "event": "bounce_left_out",
        "message": "1",
        "reason": type(error).__name__,
        "log_level": "warning",
    }
    assert await reader.step() == 0


@pytest.mark.parametrize("error", [StoreUnavailable("it is away"), Conflict("another came first")])
async def test_a_store_that_is_away_holds_up_all_and_nothing_is_lost(error: Exception) -> None:
    store = await sent(ANN)
    mailbox = Mailbox(report(KEY_OF_ANN, "somebody@new.example"), report(KEY_OF_ANN))
    reader = failing(store, mailbox, error)
    with pytest.raises(type(error)):
        await reader.step()
    assert (mailbox.read, (await notice_of(store)).state) == ([], NoticeState.SENT)
    assert await reader.step() == 2
    assert mailbox.read == ["1", "2"]
    assert (await notice_of(store)).state is NoticeState.BOUNCED
