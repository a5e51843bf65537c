"""A change is withdrawn in the midst of everything: nothing more of it leaves, and nothing falls over."""

from dataclasses import replace

import pytest

from gateway.changes.nameless import _without, mailings_made_nameless
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Mailing, MailingState, NoticeKind
from gateway.notices.releasing import stop, stop_by_itself
from gateway.notices.taking_back import TAKEN_BACK
from gateway.storage.notices import encode_mailing
from tests.notices.test_outbox import counts, state_of, withdraw
from tests.notices.test_sent_again import ANN, Post, post, uncertain


async def mailing_of(made: Post, kind: NoticeKind) -> Mailing | None:
    async with made.store.read() as reading:
        return await reading.mailing(1, kind)


async def test_who_finds_reasons_to_stop_what_was_taken_back_leaves_it() -> None:
    """The fifth refusal, of a notice that was claimed before the withdrawal, ended the control process."""
    made = await post(1, NoticeKind.CUT)
    before = await mailing_of(made, NoticeKind.CUT)
    assert before is not None
    await withdraw(made.store, made.clock)
    await stop_by_itself(made.store, before, "5 notices in a row were refused")
    assert await state_of(made.store, NoticeKind.CUT) is MailingState.CANCELLED
    with pytest.raises(InvalidValue, match="cancelled"):
        await stop(made.store, before, "wait", by="eve")


async def test_nothing_is_sent_again_of_what_is_stopped() -> None:
    """It would be due, and not leave."""
    made = await uncertain()
    stopped = await mailing_of(made, NoticeKind.CUT)
    assert stopped is not None
    await stop(made.store, stopped, "wait", by="eve")
    with pytest.raises(InvalidValue, match="stopped: none leaves before gatepost notice resume"):
        await made.resend(ANN)


@pytest.mark.parametrize("kind", TAKEN_BACK)
async def test_all_that_a_change_tells_is_taken_back_with_it(kind: NoticeKind) -> None:
    """Else the outbox would try again and again what may not go."""
    made = await post(3, kind)
    await withdraw(made.store, made.clock)
    assert await state_of(made.store, kind) is MailingState.CANCELLED
    for _ in range(3):
        await made.box.step()
    assert set(await counts(made.store, kind)) <= {"cancelled"}
    correction = await mailing_of(made, NoticeKind.CORRECTION)
    assert (correction is None) is (kind is NoticeKind.ADMITTED)


def test_a_document_has_no_words_of_its_own() -> None:
    """They have a column, which a withdrawal and an erasure rewrite alone."""
    words = "ann@corp.example is refused"
    mailing = Mailing(1, NoticeKind.CUT, 0.0, "bob", MailingState.STOPPED, words=words)
    assert "corp.example" not in encode_mailing(mailing)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("to=<o'neill@corp.example> no", "to=<o'neill@corp.example> no"),
        ("'neill@corp.example' no", "'(erased)' no"),
        ("rcpt=neill@corp.example no", "rcpt=(erased) no"),
    ],
)
def test_whole_names_are_erased(words: str, left: str) -> None:
    assert _without(words, {"neill@corp.example"}) == left


async def test_how_far_the_recipients_had_come_names_nobody_who_was_erased() -> None:
    made = await post(1, NoticeKind.CUT)
    await withdraw(made.store, made.clock)
    before = await mailing_of(made, NoticeKind.CUT)
    assert before is not None
    stale = replace(before, version=before.version + 1, plan=replace(before.plan, after="ann@corp.example"))
    await made.store.write(lambda writing: writing.put_mailing(stale))
    await made.store.write(lambda writing: mailings_made_nameless(writing, {"ann@corp.example"}))
    after = await mailing_of(made, NoticeKind.CUT)
    assert after is not None
    assert after.plan.after == ""
