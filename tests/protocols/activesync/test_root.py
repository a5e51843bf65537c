"""The command in the URL against the command in the body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.activesync.commands import PAGE_OF_ROOT, ROOTS, Command
from gateway.protocols.activesync.root import NEED_MORE, ROOT_WITHIN, NeedMore, body_agrees, root_tag
from gateway.protocols.activesync.versions import Version
from gateway.protocols.activesync.wbxml import WbxmlError, decode
from tests.support.documents import wbxml

HEADER = b"\x03\x01\x6a\x00"
VERSIONS = (None, *Version)
MAILING = (Command.SEND_MAIL, Command.SMART_FORWARD, Command.SMART_REPLY)
MIME = b"From: ada@corp.example\r\n\r\nHello"


def body_of(command: Command) -> bytes:
    return wbxml((PAGE_OF_ROOT[command], command.value, ("AirSyncBase", "Type", "1")))


@pytest.mark.parametrize("command", ROOTS)
def test_each_command_agrees_with_its_own_root_only(command: Command) -> None:
    for other in ROOTS:
        assert body_agrees(command, Version.V14_1, body_of(other), complete=True) is (command is other)


@pytest.mark.parametrize(
    "header", [HEADER, b"\x02\x01\x6a\x00", b"\x03\x00\x00\x6a\x0a-//ABC//X\x00", HEADER + b"\x00\x01\x00\x02"]
)
def test_a_mismatch_is_seen_behind_any_header(header: bytes) -> None:
    provision = header + body_of(Command.PROVISION)[4:]
    assert body_agrees(Command.PROVISION, None, provision, complete=True) is True
    assert body_agrees(Command.SYNC, None, provision, complete=True) is False
    assert body_agrees(Command.SEND_MAIL, Version.V12_1, provision, complete=True) is False


@pytest.mark.parametrize("command", MAILING)
def test_mail_is_mime_before_14_0(command: Command) -> None:
    assert body_agrees(command, Version.V12_1, MIME, complete=True) is True
    assert body_agrees(command, Version.V12_1, body_of(command), complete=True) is False
    assert body_agrees(command, Version.V14_0, MIME, complete=True) is False
    assert body_agrees(command, None, MIME, complete=True) is True
    assert body_agrees(command, None, body_of(command), complete=True) is True
    assert body_agrees(command, None, body_of(Command.PING), complete=True) is False
    assert body_agrees(command, None, b"", complete=True) is False


@pytest.mark.parametrize("command", [Command.GET_ATTACHMENT, Command.OPTIONS])
def test_commands_without_a_body(command: Command) -> None:
    assert body_agrees(command, None, b"", complete=True) is True
    assert body_agrees(command, None, b"", complete=False) is NEED_MORE
    assert body_agrees(command, None, body_of(Command.SYNC), complete=True) is False


def test_empty_bodies() -> None:
    assert body_agrees(Command.PING, Version.V12_0, b"", complete=True) is True
    assert body_agrees(Command.SYNC, Version.V12_1, b"", complete=True) is True
    assert body_agrees(Command.SYNC, Version.V12_0, b"", complete=True) is False
    assert body_agrees(Command.FOLDER_SYNC, Version.V14_1, b"", complete=True) is False
    assert body_agrees(Command.PROVISION, Version.V14_1, b"", complete=True) is False


@pytest.mark.parametrize(
    "garbage", [b"<xml/>", b"\x03\x01\x6a\x00\x85", b"\x03\x01\x6a\x00\x03", b"\x03\x01\x04\x00\x45"]
)
def test_garbage_agrees_with_no_command(garbage: bytes) -> None:
    for command in Command:
        if command not in MAILING:
            assert body_agrees(command, Version.V14_1, garbage, complete=True) is False


def test_a_header_that_libwbxml_reads_otherwise_has_no_root() -> None:
    """By a public id of zero in two octets: a FolderSync in what libwbxml takes for the string table before a Sync."""
    inner = b"\x00" + body_of(Command.FOLDER_SYNC)[len(HEADER) :]
    document = b"\x03\x80\x00\x6a\x6a" + inner + bytes(0x6A - len(inner)) + body_of(Command.SYNC)[len(HEADER) :]
    assert root_tag(document) is None
    for at in range(1, len(HEADER)):
        padded = HEADER[:at] + b"\x80" + HEADER[at:] + body_of(Command.SYNC)[len(HEADER) :]
        assert root_tag(padded) is None, at
        assert body_agrees(Command.SYNC, Version.V14_1, padded, complete=True) is False


@pytest.mark.parametrize("first", range(4))
def test_mail_does_not_begin_like_wbxml_that_is_not_understood(first: int) -> None:
    for version in (Version.V12_1, None):
        assert body_agrees(Command.SEND_MAIL, version, bytes((first, 0x80, 0x00)), complete=True) is False
    assert body_agrees(Command.SEND_MAIL, Version.V12_1, b"\x04\x80\x00", complete=True) is True


def test_the_root_must_stand_near_the_beginning() -> None:
    endless = HEADER + b"\x00\x00" * ROOT_WITHIN
    assert root_tag(endless) is None
    assert root_tag(endless[: ROOT_WITHIN - 1]) is NEED_MORE


@given(
    *(st.sampled_from(sorted(Command)), st.sampled_from(VERSIONS)),
    st.sampled_from([body_of(command) for command in ROOTS]) | st.binary(max_size=40) | st.just(MIME),
)
def test_octet_by_octet_the_answer_is_the_same(command: Command, version: Version | None, body: bytes) -> None:
    whole = body_agrees(command, version, body, complete=True)
    assert whole in (True, False)
    for length in range(len(body) + 1):
        sofar = body_agrees(command, version, body[:length], complete=False)
        if not isinstance(sofar, NeedMore):
            assert sofar is whole
            return


tokens = st.sampled_from([b"\x00\x00", b"\x00\x07", b"\x00\x0e", b"\x01", b"\x45", b"\x56", b"\x05", b"\x03a\x00"])


@given(st.lists(tokens, max_size=20).map(lambda some: HEADER + b"".join(some)) | st.binary(max_size=40))
def test_the_root_is_the_one_that_the_decoder_sees(document: bytes) -> None:
    try:
        root = decode(document)
    except WbxmlError:
        return
    assert root_tag(document) == (root.page, root.tag)
