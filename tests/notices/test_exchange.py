"""Notices into Exchange, by exchangelib against the scripted server: what is sent, and what each failure means."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from gateway.notices.exchange import ExchangeDelivery
from gateway.notices.exchange_settings import ExchangeSettings
from gateway.notices.exchange_wire import Trace
from gateway.ports.notices import DeliveryUnusable, Outcome, OutgoingNotice
from tests.network.authority import Authority
from tests.notices import ews_answers as answers
from tests.notices.ews_server import Act, Ews, ews_server

NOTICE = OutgoingNotice(
    key="12/cut/aGFzaA",
    message_id="<gp.12.cut.aGFzaA@corp.example>",
    sender="notices@corp.example",
    sender_name="Mail at Corp",
    recipient="ada@corp.example",
    recipient_name="Ada Lovelace",
    reply_to="help@corp.example",
    subject="Mail on your phone has stopped – GP-12",
    plain="Remove the app.",
    html="<p>Remove the app &amp; wait.</p>",
    language="en",
    sent_at=0.0,
    references=("<one@mail.test>", "<two@mail.test>"),
    headers={"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "RN, NRN, OOF, AutoReply"},
)


async def yes() -> bool:
    return True


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ews"))


Started = tuple[Ews, ExchangeDelivery]


@asynccontextmanager
async def started(authority: Authority, told: dict[str, Any] | None = None, **server: Any) -> AsyncIterator[Started]:
    async with ews_server(authority.issue().server(), **(server or {"password": "secret"})) as ews:
        settings = ExchangeSettings(
            url=ews.url,
            mailbox="notices@corp.example",
            username="CORP\\gatepost",
            secret="secret",
            authority=str(authority.certificate),
            answer_seconds=20.0,
        )
        if not ews.password:
            settings = replace(settings, login="oauth", username="client-1", token_url=ews.token_url)
        delivery = ExchangeDelivery(replace(settings, **(told or {})))
        try:
            yield ews, delivery
        finally:
            await delivery.close()
        assert ews.problems == []


async def test_a_notice_goes_with_a_copy_in_sent_and_comes_back_with_its_true_message_id(authority: Authority) -> None:
    async with started(authority) as (ews, delivery):
        attempt = await delivery.deliver(NOTICE, yes)
        assert attempt.outcome is Outcome.ACCEPTED
        assert attempt.message_id == "<0.exchange@mail.test>"
        assert [each.key for each in ews.sent] == [NOTICE.key]
        assert ews.operations()[0] == "CreateItem"
        assert ews.logins[0] == "CORP\\gatepost"
        assert set(ews.impersonated) == {""}


async def test_the_message_is_what_the_notice_says(authority: Authority) -> None:
    async with started(authority, {"choose_message_id": True}) as (ews, delivery):
        attempt = await delivery.deliver(NOTICE, yes)
        assert attempt.message_id == NOTICE.message_id
        assert ews.operations() == ["CreateItem"]
        item = ews.sent[0].item
        texts = {name: item.findtext(f"{answers.T}{name}") for name in ("Subject", "Body", "InReplyTo", "References")}
        assert texts == {
            "Subject": NOTICE.subject,
            "Body": NOTICE.html,
            "InReplyTo": "<two@mail.test>",
            "References": "<one@mail.test> <two@mail.test>",
        }
        assert item.find(f"{answers.T}Body").get("BodyType") == "HTML"
        addresses = {
            name: item.find(f"{answers.T}{name}").findtext(f".//{answers.T}EmailAddress")
            for name in ("From", "ToRecipients", "ReplyTo")
        }
        assert addresses == {"From": NOTICE.sender, "ToRecipients": NOTICE.recipient, "ReplyTo": NOTICE.reply_to}
        properties = {
            answers.property_name(each): each.findtext(f"{answers.T}Value")
            for each in item.iter(f"{answers.T}ExtendedProperty")
        }
        assert properties == {"gatepost-notice": NOTICE.key, "Auto-Submitted": "auto-generated", "0x3fdf": "60"}


async def test_a_service_account_acts_for_the_mailbox(authority: Authority) -> None:
    async with started(authority, {"impersonate": True}) as (ews, delivery):
        assert (await delivery.deliver(NOTICE, yes)).outcome is Outcome.ACCEPTED
        assert set(ews.impersonated) == {"notices@corp.example"}


async def test_what_may_not_go_does_not_go(authority: Authority) -> None:
    async def no() -> bool:
        return False

    async with started(authority) as (ews, delivery):
        assert (await delivery.deliver(NOTICE, no)).outcome is Outcome.NOT_SENT
        assert ews.requests == []


def busy(milliseconds: int) -> Act:
    return Act("say", 500, answers.fault("ErrorServerBusy", back_off=milliseconds))


FAILURES = (
    [
        pytest.param(Act("cut_before"), Outcome.UNCERTAIN, "the answer was lost", 0, id="cut before it was taken"),
        pytest.param(Act("cut_after"), Outcome.UNCERTAIN, "the answer was lost", 1, id="cut after it was taken"),
        pytest.param(busy(700), Outcome.DEFERRED, "ErrorServerBusy", 0, id="busy"),
        pytest.param(Act("say", 503), Outcome.DEFERRED, "HTTP 503", 0, id="503"),
        pytest.param(Act("say", 429, headers={"Retry-After": "7"}), Outcome.DEFERRED, "HTTP 429", 0, id="429"),
        pytest.param(Act("say", 502), Outcome.UNCERTAIN, "HTTP 502", 0, id="502"),
        pytest.param(
            Act("hear", 502, headers={"Connection": "close"}), Outcome.UNCERTAIN, "HTTP 502", 1, id="502 and closed"
        ),
        pytest.param(Act("say", 403), Outcome.CHANNEL_BROKEN, "HTTP 403", 0, id="403"),
        pytest.param(Act("say", 302, headers={"Location": "/"}), Outcome.CHANNEL_BROKEN, "HTTP 302", 0, id="redirect"),
        pytest.param(Act("hear", 200, "<html>odd"), Outcome.UNCERTAIN, "cannot be understood", 1, id="no XML"),
        pytest.param(Act("hear", 200, answers.soap("")), Outcome.UNCERTAIN, "cannot be understood", 1, id="empty body"),
        pytest.param(
            Act("hear", 200, answers.response("CreateItem", [])), Outcome.UNCERTAIN, "0 answers", 1, id="none"
        ),
        pytest.param(
            Act("hear", 200, "x" * 1_500_000), Outcome.UNCERTAIN, "the answer was lost", 1, id="endless answer"
        ),
    ]
    + [
        pytest.param(Act("say", 200, answers.refused(code)), outcome, code, 0, id=code)
        for code, outcome in (
            ("ErrorAccessDenied", Outcome.CHANNEL_BROKEN),
            ("ErrorSendAsDenied", Outcome.CHANNEL_BROKEN),
            ("ErrorMailRecipientNotFound", Outcome.REFUSED),
            ("ErrorMessageSubmissionBlocked", Outcome.REFUSED),
            ("ErrorServerBusy", Outcome.DEFERRED),
            ("ErrorExceededConnectionCount", Outcome.DEFERRED),
            ("ErrorInternalServerError", Outcome.UNCERTAIN),
            ("ErrorTimeoutExpired", Outcome.UNCERTAIN),
        )
    ]
    + [
        pytest.param(Act("say", 500, answers.fault(code)), Outcome.CHANNEL_BROKEN, code, 0, id=f"fault {code}")
        for code in ("ErrorImpersonateUserDenied", "ErrorSchemaValidation")
    ]
)


@pytest.mark.parametrize(("act", "outcome", "words", "taken"), FAILURES)
async def test_what_a_failure_means_and_that_the_message_leaves_once(
    authority: Authority, act: Act, outcome: Outcome, words: str, taken: int
) -> None:
    async with started(authority) as (ews, delivery):
        ews.script.append(act)
        attempt = await delivery.deliver(NOTICE, yes)
        assert (attempt.outcome, words in attempt.words) == (outcome, True), attempt
        assert len(ews.sent) == taken
        assert ews.operations().count("CreateItem") == 1
        assert "secret" not in attempt.words
        assert attempt.public.split()[-1] in attempt.words


NAMED = "ada@corp.example is nobody"


@pytest.mark.parametrize(
    ("octets", "public"),
    [
        (answers.fault("ErrorMailRecipientNotFound", NAMED), "ErrorMailRecipientNotFound"),
        (answers.fault("ErrorSendAsDenied", NAMED), "ErrorSendAsDenied"),
        (answers.fault("ErrorServerBusy", NAMED), "ErrorServerBusy"),
        (answers.fault("ErrorOfTomorrow", NAMED), "the answer cannot be understood"),
        (answers.soap(f"<x>{NAMED}</x>"), "the answer cannot be understood"),
        (f"<html>{NAMED}", "the answer cannot be understood"),
    ],
)
async def test_beyond_the_notice_goes_a_code_and_no_word(authority: Authority, octets: str, public: str) -> None:
    async with started(authority) as (ews, delivery):
        ews.script.append(Act("say", 500, octets))
        attempt = await delivery.deliver(NOTICE, yes)
        assert attempt.public == public, attempt
        ews.looks.append(Act("say", 500, octets))
        with pytest.raises(DeliveryUnusable) as caught:
            await delivery.look_up([NOTICE.key])
        assert "ada" not in str(caught.value)


async def test_a_request_refused_for_its_version_is_not_tried_in_others(authority: Authority) -> None:
    async with started(authority) as (ews, delivery):
        ews.script.append(Act("say", 500, answers.fault("ErrorInvalidRequest")))
        assert (await delivery.deliver(NOTICE, yes)).outcome is Outcome.CHANNEL_BROKEN
        assert ews.operations() == ["CreateItem"]


async def test_with_many_connections_a_lost_answer_is_not_a_busy_server(authority: Authority) -> None:
    async with started(authority, {"connections": 3}) as (ews, delivery):
        # The login is proved first; then they go side by side.
        assert (await delivery.deliver(NOTICE, yes)).outcome is Outcome.ACCEPTED
        ews.script.extend([Act("cut_after")] * 6)
        notices = [replace(NOTICE, key=f"12/cut/{number}") for number in range(6)]
        attempts = await asyncio.gather(*(delivery.deliver(each, yes) for each in notices))
        assert {each.outcome for each in attempts} == {Outcome.UNCERTAIN}
        assert sorted(each.key for each in ews.sent[1:]) == [each.key for each in notices]


async def test_the_server_is_left_alone_for_as_long_as_it_asks(authority: Authority) -> None:
    async with started(authority) as (ews, delivery):
        ews.script.append(busy(30_000))
        first = await delivery.deliver(NOTICE, yes)
        second = await delivery.deliver(NOTICE, yes)
        assert first.retry_after_seconds == 30.0
        assert second.outcome is Outcome.DEFERRED
        assert second.retry_after_seconds is not None
        assert 25.0 < second.retry_after_seconds <= 30.0
        assert ews.operations() == ["CreateItem"]


@pytest.mark.parametrize("what", ["hang", "drip"])
async def test_a_call_that_hangs_is_ended_and_its_thread_with_it(authority: Authority, what: str) -> None:
    async with started(authority, {"answer_seconds": 0.6, "connections": 1}) as (ews, delivery):
        await delivery.check()
        ews.script.append(Act(what))
        began = monotonic()
        attempt = await delivery.deliver(NOTICE, yes)
        assert attempt.outcome is Outcome.UNCERTAIN
        assert monotonic() - began < 4.0
        # The only thread is free again.
        assert (await delivery.deliver(replace(NOTICE, key="12/cut/next"), yes)).outcome is Outcome.ACCEPTED


async def test_a_cancelled_delivery_leaves_no_thread_behind(authority: Authority) -> None:
    async with started(authority, {"connections": 1}) as (ews, delivery):
        await delivery.check()
        ews.script.append(Act("hang"))
        task = asyncio.create_task(delivery.deliver(NOTICE, yes))
        await ews.taken.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await delivery.deliver(replace(NOTICE, key="12/cut/next"), yes)).outcome is Outcome.ACCEPTED
        assert len([each for each in threading.enumerate() if each.name.startswith("exchange")]) == 1


async def test_hanging_calls_do_not_use_up_the_sessions_of_a_token(authority: Authority) -> None:
    told = {"answer_seconds": 0.6, "connections": 1}
    async with started(authority, told, password="") as (ews, delivery):
        await delivery.check()
        ews.script.extend([Act("hang"), Act("hang")])
        for _ in range(2):
            assert (await delivery.deliver(NOTICE, yes)).outcome is Outcome.UNCERTAIN
        assert (await delivery.deliver(replace(NOTICE, key="12/cut/next"), yes)).outcome is Outcome.ACCEPTED


async def test_a_handshake_that_never_ends_is_ended_too() -> None:
    silent: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/EWS/Exchange.asmx"
    delivery = ExchangeDelivery(
        ExchangeSettings(url, "notices@corp.example", "gatepost", "secret", answer_seconds=0.5, connections=1)
    )
    async with server:
        began = monotonic()
        assert (await delivery.deliver(NOTICE, yes)).outcome is Outcome.DEFERRED
        assert monotonic() - began < 4.0
        await delivery.close()
        for writer in silent:
            await writer.wait_closed()


def test_a_message_does_not_leave_twice_whatever_the_library_wants() -> None:
    trace = Trace("https://mail.test/", sending=True)
    trace.begins("https://mail.test/EWS/Exchange.asmx")
    trace.writes()
    with pytest.raises(OSError, match="not sent a second time"):
        trace.begins("https://mail.test/EWS/Exchange.asmx")
    trace.answered("https://mail.test/EWS/Exchange.asmx", 401, "")
    trace.begins("https://mail.test/EWS/Exchange.asmx")


async def test_a_server_that_is_away_has_taken_nothing(authority: Authority) -> None:
    async with started(authority) as (ews, delivery):
        await delivery.check()
        gone = ews.url
    away = ExchangeDelivery(ExchangeSettings(gone, "notices@corp.example", "gatepost", "secret", connect_seconds=2.0))
    assert (await away.deliver(NOTICE, yes)).outcome is Outcome.DEFERRED
    await away.close()


async def test_a_certificate_of_somebody_else_is_not_accepted(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "two")
    async with started(authority, {"authority": str(other.certificate)}) as (ews, delivery):
        attempt = await delivery.deliver(NOTICE, yes)
        assert attempt.outcome is Outcome.CHANNEL_BROKEN
        assert "certificate" in attempt.words
        assert ews.requests == []


async def test_a_wrong_password_is_tried_once(authority: Authority) -> None:
    async with started(authority, {"secret": "wrong", "connections": 4}) as (ews, delivery):
        attempts = await asyncio.gather(*(delivery.deliver(NOTICE, yes) for _ in range(6)))
        assert {each.outcome for each in attempts} == {Outcome.CHANNEL_BROKEN}
        assert {each.words.partition(" (")[0] for each in attempts} == {
            "the login as CORP\\gatepost by basic is refused"
        }
        assert all(each.retry_after_seconds for each in attempts)
        assert len(ews.logins) == 1


async def test_tokens_are_asked_for_once_and_anew_when_they_are_over(authority: Authority) -> None:
    async with started(authority, {"impersonate": True, "connections": 1}, password="") as (ews, delivery):
        assert (await delivery.deliver(NOTICE, yes)).outcome is Outcome.ACCEPTED
        assert (await delivery.deliver(NOTICE, yes)).outcome is Outcome.ACCEPTED
        assert ews.tokens == ["token-1"]
        assert set(ews.impersonated) == {"notices@corp.example"}


async def test_a_token_that_has_run_out_is_replaced_before_anything_is_sent(authority: Authority) -> None:
    async with started(authority, {"connections": 1}, password="", token_seconds=-5) as (ews, delivery):
        await delivery.deliver(NOTICE, yes)
        ews.token_seconds = 3600
        attempt = await delivery.deliver(NOTICE, yes)
        assert attempt.outcome is Outcome.ACCEPTED
        assert len(ews.sent) <= 2


async def test_a_token_that_is_refused_is_replaced_and_the_notice_waits(authority: Authority) -> None:
    async with started(authority, {"connections": 1}, password="") as (ews, delivery):
        await delivery.deliver(NOTICE, yes)
        ews.revoked.add("token-1")
        attempt = await delivery.deliver(replace(NOTICE, key="12/cut/b"), yes)
        assert attempt.outcome is Outcome.DEFERRED
        assert attempt.retry_after_seconds == 1.0
        again = await delivery.deliver(replace(NOTICE, key="12/cut/b"), yes)
        assert again.outcome is Outcome.ACCEPTED
        assert [each.key for each in ews.sent] == [NOTICE.key, "12/cut/b"]


async def test_new_tokens_that_are_refused_too_stop_the_notices(authority: Authority) -> None:
    async with started(authority, {"connections": 1}, password="") as (ews, delivery):
        ews.revoked.update(f"token-{number}" for number in range(9))
        outcomes = [(await delivery.deliver(NOTICE, yes)).outcome for _ in range(2)]
        assert outcomes == [Outcome.DEFERRED, Outcome.CHANNEL_BROKEN]


@pytest.mark.parametrize(("status", "outcome"), [(401, Outcome.CHANNEL_BROKEN), (500, Outcome.DEFERRED)])
async def test_no_token_no_notice(authority: Authority, status: int, outcome: Outcome) -> None:
    async with started(authority, password="", token_status=status) as (ews, delivery):
        attempt = await delivery.deliver(NOTICE, yes)
        assert attempt.outcome is outcome
        assert "secret" not in attempt.words
        assert ews.requests == []


async def test_an_uncertain_notice_is_found_by_its_key(authority: Authority) -> None:
    async with started(authority) as (ews, delivery):
        ews.script.extend([Act("cut_after"), Act("cut_before")])
        taken, lost = NOTICE, replace(NOTICE, key="12/cut/lost")
        await delivery.deliver(taken, yes)
        await delivery.deliver(lost, yes)
        assert await delivery.look_up([taken.key, lost.key]) == {taken.key: "<0.exchange@mail.test>"}


async def test_a_copy_that_is_not_to_be_seen_proves_nothing(authority: Authority) -> None:
    async with started(authority, password="secret", copies_seen=False) as (ews, delivery):
        attempt = await delivery.deliver(NOTICE, yes)
        assert len(ews.sent) == 1
        assert (attempt.outcome, attempt.message_id) == (Outcome.ACCEPTED, "")
        assert await delivery.look_up([NOTICE.key]) == {}


async def test_check_proves_the_login_without_sending(authority: Authority) -> None:
    async with started(authority) as (ews, delivery):
        assert "Sent Items" in await delivery.check()
        assert ews.operations() == ["GetFolder"]
    async with started(authority, {"secret": "wrong"}) as (ews, delivery):
        with pytest.raises(DeliveryUnusable, match=r"the login as .* by basic is refused"):
            await delivery.check()
