"""doveadm's commands and answers; above all, that nobody else is kicked in a user's place."""

import json

import pytest

from gateway.domain.errors import InvalidValue
from gateway.protocols.authz import doveadm


@pytest.mark.parametrize(
    "user",
    ["anna", "anna@corp.example", "a.b-c_d+e", "CORP\u00e4nna", "anna smith", "o'neil", "abba.cafe", "x12345", "1a"],
)
def test_a_name_that_means_one_user(user: str) -> None:
    assert doveadm.exact(user) == user


@pytest.mark.parametrize(
    "user",
    [
        *("", "*", "a*", "ann?", "CORP\\anna", "-f", "--help", "an\nna", "an\x00na"),
        *("10.0.0.0/8", "127.0.0.1", "12345", "0x7f.1", "1.2", "::1", "[::1]", "fe80::/10", "10.0.0.1/33"),
    ],
)
def test_a_name_that_would_mean_others_too(user: str) -> None:
    with pytest.raises(InvalidValue):
        doveadm.exact(user)


@pytest.mark.parametrize("users", [[], ["anna"], ['an"na', "[]", "\\", "\u00e4", "a\nb", "},{"]])
def test_every_name_is_one_value_of_its_command(users: list[str]) -> None:
    commands = json.loads(doveadm.kicks(users))
    assert [each[1]["mask"] for each in commands] == [[user] for user in users]
    assert {each[0] for each in commands} <= {"kick"}


def test_who_was_there_and_who_was_not() -> None:
    said = [["doveadmResponse", [{"result": "bert"}], "1"], ["error", {"type": "exitCode", "exitCode": 68}, "0"]]
    assert doveadm.kicked(json.dumps(said).encode(), 2) == (False, True)


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[["doveadmResponse",[]]]'])
def test_an_answer_that_cannot_be_read_is_no_success(body: bytes) -> None:
    with pytest.raises(InvalidValue):
        doveadm.kicked(body, 1)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([], "has not answered every command"),
        ([["doveadmResponse", [], "7"]], "has not answered every command"),
        ([["error", {"type": "exitCode", "exitCode": 75}, "1"]], 'says error {"type": "exitCode", "exitCode": 75}'),
        ([["error", {"type": "unknownMethod"}, "1"]], 'says error {"type": "unknownMethod"}'),
    ],
)
def test_another_answer_is_no_success_of_that_one(said: list[object], told: str) -> None:
    body = json.dumps([["doveadmResponse", [], "0"], *said]).encode()
    assert doveadm.kicked(body, 2) == (True, f"doveadm {told}")


def test_who_is_connected() -> None:
    rows = [
        {"username": "anna", "connections": "2", "service": "imap", "pids": "(1 2)", "ips": "(127.0.0.1)"},
        {"username": "bert", "connections": "1", "proto": "pop3"},
        {"odd": 1},
    ]
    body = json.dumps([["doveadmResponse", rows, "0"]]).encode()
    assert [tuple(each) for each in doveadm.connected(body)] == [("anna", "imap"), ("bert", "pop3")]
    with pytest.raises(InvalidValue):
        doveadm.connected(b'[["error",{"type":"exitCode","exitCode":75},"0"]]')


def test_the_key_stands_in_the_header_as_dovecot_wants_it() -> None:
    assert doveadm.authorization("secret") == b"X-Dovecot-API c2VjcmV0"
