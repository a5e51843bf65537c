"""The message of a notice mailbox: what it says, and that other readers of mail read it so."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from gateway.protocols.imap.notice_message import UIDVALIDITY, WHAT_TO_DO, Facts, Notice, compose

AT = datetime(2026, 11, 5, 9, 7, 3, tzinfo=UTC).timestamp()
FACTS = Facts("anna@corp.example", "TikTok (com.zhiliaoapp.musically)", "Remove it, then open the agent.", AT, 7)


def read(notice: Notice) -> EmailMessage:
    """By Python's own reader."""
    return message_from_bytes(notice.octets, policy=default)


def text(facts: Facts) -> str:
    return str(read(compose(facts)).get_content()).replace("\r\n", "\n")


def test_it_names_the_app_the_report_and_what_to_do() -> None:
    said = text(FACTS)
    assert "Because of this app: TikTok (com.zhiliaoapp.musically)\n" in said
    assert "Reported: 5 Nov 2026, 09:07 UTC\n" in said
    assert "What to do:\nRemove it, then open the agent.\n" in said
    assert WHAT_TO_DO in text(replace(FACTS, note=""))


def test_other_readers_read_it() -> None:
    message = read(compose(FACTS))
    assert message.defects == []
    assert message["Subject"] == "Mail on this device is blocked"
    assert message["To"].addresses[0].addr_spec == "anna@corp.example"
    assert message["From"].addresses[0].addr_spec == "mail-gateway@corp.example"
    assert message["Date"].datetime == datetime.fromtimestamp(AT, UTC)
    assert message["Auto-Submitted"] == "auto-generated"
    assert compose(FACTS).internal_date == " 5-Nov-2026 09:07:03 +0000"


def test_lines_end_with_crlf_and_none_is_long() -> None:
    octets = compose(replace(FACTS, note="ü" * 2000 + "\n.\nlast")).octets
    lines = octets.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert max(map(len, lines)) <= 78 + 60
    assert octets.isascii()


@pytest.mark.parametrize("login", ["anna", "ünna@corp.example", 'a"b@corp.example', "a@b\r\nBcc: all@corp.example"])
def test_a_login_that_is_no_address_stands_in_no_header(login: str) -> None:
    notice = compose(replace(FACTS, login=login))
    assert notice.recipient is None
    assert read(notice)["Bcc"] is None
    assert login.encode() not in notice.header


@pytest.mark.parametrize("hostile", ["x\r\nBcc: all@corp.example", "x\n\nFrom me", "x\u202ey", "{5}", "x" * 10_000])
def test_what_a_phone_calls_an_app_stays_in_its_line(hostile: str) -> None:
    notice = compose(replace(FACTS, app=hostile))
    assert read(notice)["Bcc"] is None
    said = str(read(notice).get_content())
    (line,) = [line for line in said.splitlines() if line.startswith("Because of this app: ")]
    assert len(line) < 500
    assert "\u202e" not in said


def test_a_note_of_many_lines_stays_as_it_is() -> None:
    assert "What to do:\nRemove the app.\n\n1. Settings\n" in text(
        replace(FACTS, note="Remove the app.\r\n\r\n1. Settings")
    )


def test_the_same_facts_are_the_same_message_and_newer_ones_have_a_higher_uid() -> None:
    one = compose(FACTS)
    assert one == compose(replace(FACTS))
    later, edited = compose(replace(FACTS, reported_at=AT + 60)), compose(replace(FACTS, policy_version=8))
    assert one.uid < min(later.uid, edited.uid)
    assert compose(replace(FACTS, reported_at=None)).uid > 0
    assert compose(replace(FACTS, reported_at=9e9)).uid < 2**32 - 1


def test_the_uidvalidity_is_one_that_no_server_has_given() -> None:
    """Servers take the time in seconds; it must fit 32 bits and be no zero (RFC 9051 §2.3.1.1)."""
    assert 2**31 < UIDVALIDITY < 2**32
