"""The vocabulary of commands."""

import pytest

from gateway.protocols.activesync.commands import (
    CODE_OF,
    CODES,
    PARKING,
    ROOTS,
    WITH_EFFECT,
    BodyKind,
    Command,
    UnknownCommand,
    body_kind,
    command_named,
    command_of_code,
    may_be_empty,
)
from gateway.protocols.activesync.versions import Version


def test_codes() -> None:
    assert (CODES[0], CODES[9], CODES[18], CODES[20], CODES[23]) == (
        *(Command.SYNC, Command.FOLDER_SYNC, Command.PING, Command.PROVISION, Command.FIND),
    )
    assert set(CODE_OF) == set(Command) - {Command.OPTIONS}
    with pytest.raises(UnknownCommand):
        command_of_code(5)


@pytest.mark.parametrize("name", ["Sync", "sync", "SYNC", "sYnC"])
def test_names_without_case(name: str) -> None:
    assert command_named(name) is Command.SYNC


@pytest.mark.parametrize("name", ["", "Sync ", "Synс", "Syn\u212a", "Autodiscover"])
def test_other_names(name: str) -> None:
    with pytest.raises(UnknownCommand):
        command_named(name)


@pytest.mark.parametrize(
    ("command", "version", "kind"),
    [
        (Command.SEND_MAIL, Version.V12_1, BodyKind.MIME),
        (Command.SEND_MAIL, Version.V14_0, BodyKind.WBXML),
        (Command.SMART_REPLY, None, BodyKind.WBXML_OR_MIME),
        (Command.SYNC, None, BodyKind.WBXML),
        (Command.GET_ATTACHMENT, Version.V12_1, BodyKind.NONE),
        (Command.OPTIONS, None, BodyKind.NONE),
    ],
)
def test_body_kinds(command: Command, version: Version | None, kind: BodyKind) -> None:
    assert body_kind(command, version) is kind


def test_commands_complete_without_a_body() -> None:
    assert {command for command in Command if may_be_empty(command, Version.V14_1)} == {
        *(Command.SYNC, Command.PING, Command.GET_ATTACHMENT, Command.OPTIONS),
    }
    assert not may_be_empty(Command.SYNC, Version.V12_0)


def test_what_waits_has_no_effect() -> None:
    assert not PARKING & WITH_EFFECT
    assert set(ROOTS) >= WITH_EFFECT
