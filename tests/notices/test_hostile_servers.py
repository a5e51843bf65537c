"""What a hostile mail server answers: bounded in time and size, never an error of ours, never taken for a success."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from time import monotonic

import pytest

from gateway.notices.smtp import SmtpDelivery
from gateway.notices.smtp_settings import SmtpSettings
from gateway.ports.notices import Attempt, Outcome
from tests.notices.letters import letter, yes
from tests.notices.scripted import GOOD, Cut, Drip, Flood, Manner, Scripted, Silence, scripted_server

STAGES = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", ".")
SHORT, LONG = 0.1, 20.0
MANNERS: Mapping[str, Manner] = {
    "an endless line": Flood(b"2" * 4096),
    "an endless answer": Flood(b"250-go on\r\n" * 400),
    "an endless answer to the end": Flood(b"354-go on\r\n" * 400),
    "octets beyond ASCII": b"\xff\xfe\x80\x00 \xf0\x9f\x93\xb1\r\n",
    "no code": b"hello\r\n",
    "a code below zero": b"-25 ok\r\n",
    "a code with an underscore": b"2_5 ok\r\n",
    "a code that there is not": b"999 ok\r\n",
    "an empty line": b"\n",
    "the end": Cut(),
    "the end inside a code": Cut(b"25"),
    "the end inside an answer": Cut(b"250-one\r\n"),
    "silence": Silence(),
    "an octet at a time": Drip(b"2"),
    "a line at a time": Drip(b"250-wait\r\n"),
}


def delivery(server: Scripted, stage: str, **login: str) -> SmtpDelivery:
    """With little patience where the server is tried, and much elsewhere."""
    return SmtpDelivery(
        SmtpSettings(
            "127.0.0.1",
            server.port,
            "none",
            connect_seconds=SHORT if stage in ("greeting", "EHLO") else LONG,
            handover_seconds=SHORT if stage in ("MAIL", "RCPT") else LONG,
            answer_seconds=SHORT if stage in ("DATA", ".") else LONG,
            username=login.get("username", ""),
            password=login.get("password", ""),
        )
    )


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("manner", MANNERS.values(), ids=MANNERS)
async def test_whatever_it_says(stage: str, manner: Manner) -> None:
    asked = 0

    async def may_go() -> bool:
        nonlocal asked
        asked += 1
        return True

    slow = isinstance(manner, Silence | Drip)
    async with scripted_server() as server:
        server.says[stage] = manner
        smtp = delivery(server, stage if slow else "")
        began = monotonic()
        attempt = await smtp.deliver(letter(), may_go)
        took = monotonic() - began
        late = stage in ("DATA", ".")
        assert (attempt.outcome, asked) == (Outcome.UNCERTAIN if late else Outcome.DEFERRED, int(late)), attempt
        assert took < 6.0
        assert server.flooded < 16 << 20
        assert len(attempt.words) <= 300
        assert attempt.words.isprintable()
        # Nothing of it is left for the next one.
        server.says = dict(GOOD)
        patient = delivery(server, "") if slow else smtp
        again = await patient.deliver(letter("bob@corp.example"), yes)
        assert again.outcome is Outcome.ACCEPTED, again
        await patient.close()
        await smtp.close()


async def attempted(says: Mapping[str, Manner], **login: str) -> tuple[Attempt, Scripted]:
    """One notice to a server that says this."""
    async with scripted_server() as server:
        server.says |= says
        smtp = delivery(server, "", **login)
        attempt = await smtp.deliver(letter(), yes)
        await smtp.close()
        return attempt, server


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "MAIL", "RCPT"])
async def test_answers_to_what_was_not_asked_yet_are_no_answers(stage: str) -> None:
    """Else a notice would count as sent that the server has refused."""
    ahead = GOOD[stage] + GOOD["MAIL"] + GOOD["RCPT"] + GOOD["DATA"] + GOOD["."]
    attempt, server = await attempted({stage: ahead, ".": b"554 never\r\n"})
    assert attempt.outcome is not Outcome.ACCEPTED, attempt
    assert not server.bodies or attempt.outcome in (Outcome.REFUSED, Outcome.UNCERTAIN)


async def test_a_long_list_of_what_it_can_do_is_read() -> None:
    many = b"".join(b"250-X-%d \xc3\xa9 = AUTH\r\n" % number for number in range(400))
    attempt, server = await attempted({"EHLO": b"250-mail.test\r\n" + many + b"250 DSN\r\n"})
    assert attempt.outcome is Outcome.ACCEPTED
    assert any(b"ENVID=12/cut/" in line for line in server.lines)


@pytest.mark.parametrize(
    ("code", "outcome"), [(b"421", Outcome.DEFERRED), (b"451", Outcome.DEFERRED), (b"554", Outcome.REFUSED)]
)
@pytest.mark.parametrize("stage", ["DATA", "."])
async def test_a_refusal_in_many_lines_is_believed(stage: str, code: bytes, outcome: Outcome) -> None:
    attempt, _ = await attempted({stage: b"%b-no\r\n%b-\x1b[31m\xff no\r\n%b no\r\n" % (code, code, code)})
    assert (attempt.outcome, attempt.words) == (outcome, f"{code.decode()} no [31m no no")


NAMED = b" <ada@corp.example> is unknown, ada@corp.example\r\n"


@pytest.mark.parametrize(
    ("stage", "says", "public"),
    [
        ("MAIL", b"550 5.7.1", "the sender was refused: 550 5.7.1"),
        ("MAIL", b"451", "451"),
        ("RCPT", b"550 5.1.1", "550 5.1.1"),
        ("RCPT", b"550 5.1.1ada@corp.example", "550"),
        ("RCPT", b"450-4.2.0 hear\r\n450 4.2.0", "450 4.2.0"),
        ("RCPT", b"ada@corp.example", "an answer without a code"),
        ("RCPT", b"999 5.1.1", "999 5.1.1"),
        ("DATA", b"554 5.7.1", "554 5.7.1"),
        (".", b"554 5.6.0", "554 5.6.0"),
        (".", b"251 2.1.5", "251 2.1.5"),
        (".", b"ada@corp.example", "an answer without a code"),
        (".", Cut(b""), "the connection was lost"),
    ],
)
async def test_beyond_the_notice_goes_a_code_and_no_word(stage: str, says: Manner, public: str) -> None:
    attempt, _ = await attempted({stage: says + NAMED if isinstance(says, bytes) else says})
    assert attempt.outcome is not Outcome.ACCEPTED
    assert attempt.public == public, attempt


SECRET = "correct horse"
ECHOED = b64encode(f"\0notices\0{SECRET}".encode())


@pytest.mark.parametrize(
    ("says", "outcome"),
    [
        (b"535 what is " + ECHOED + b"\r\n", Outcome.CHANNEL_BROKEN),
        (b"501 cannot decode " + SECRET.encode() + b"\r\n", Outcome.CHANNEL_BROKEN),
        (b"454 later, " + ECHOED + b"\r\n", Outcome.DEFERRED),
        (b"334 " + ECHOED + b"\r\n", Outcome.DEFERRED),
        (b"no code " + ECHOED + b"\r\n", Outcome.DEFERRED),
        (Flood(ECHOED), Outcome.DEFERRED),
        (Cut(ECHOED), Outcome.DEFERRED),
    ],
    ids=["535", "501", "454", "334", "no code", "endless", "end"],
)
async def test_a_login_it_repeats_stands_in_no_words(says: Manner, outcome: Outcome) -> None:
    attempt, server = await attempted({"AUTH": says}, username="notices", password=SECRET)
    assert attempt.outcome is outcome, attempt
    assert SECRET not in attempt.words
    assert ECHOED.decode() not in attempt.words
    assert not server.bodies
    assert sum(line.startswith(b"AUTH") for line in server.lines) == 1


async def test_starttls_that_is_none_gets_nothing_more_in_the_clear() -> None:
    async with scripted_server() as server:
        server.says |= {"EHLO": b"250-mail.test\r\n250 STARTTLS\r\n", "STARTTLS": b"220 go\r\n250 injected\r\n"}
        smtp = SmtpDelivery(
            SmtpSettings("127.0.0.1", server.port, "starttls", username="a", password=SECRET, connect_seconds=1.0)
        )
        attempt = await smtp.deliver(letter(), yes)
        assert attempt.outcome in (Outcome.DEFERRED, Outcome.CHANNEL_BROKEN)
        heard = b"".join(server.lines)
        assert heard.startswith(b"EHLO corp.example\r\nSTARTTLS\r\n") or heard.startswith(b"EHLO localhost\r\nSTARTTLS")
        assert b"AUTH" not in heard
        assert b"MAIL" not in heard


async def test_a_client_that_is_cancelled_leaves_at_once() -> None:
    async with scripted_server() as server:
        server.says["."] = Silence()
        smtp = delivery(server, "")
        task = asyncio.create_task(smtp.deliver(letter(), yes))
        await server.taken.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.says = dict(GOOD)
        assert (await smtp.deliver(letter(), yes)).outcome is Outcome.ACCEPTED
        await smtp.close()
