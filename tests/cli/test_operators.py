"""``gatepost operator``, and every command by the roles of the matrix."""

import json

import pytest

from gateway.domain.operator import Action, Role, may, not_allowed
from tests.cli.conftest import Gatepost
from tests.support.served_control import Served

COMMANDS: dict[Action, tuple[str, ...]] = {
    Action.VIEW: ("ban", "list"),
    Action.SEE_PERSON: ("device", "list"),
    Action.EDIT_POLICY: ("ban", "remove", "none", "--yes"),
    Action.PREVIEW: ("change", "preview", "1"),
    Action.APPLY: ("apply", "1", "--yes"),
    Action.BIND: ("device", "forget", "ann", "none", "--yes"),
    Action.ISSUE_CREDENTIALS: ("credential", "revoke", "aaaaaaaa", "--yes"),
    Action.SET_SOURCES: ("source", "remove", "none", "--yes"),
    Action.SET_OPERATORS: ("operator", "remove", "nobody", "--yes"),
    Action.TURN_DOWN: ("withdraw", "1", "--yes"),
    Action.OWN_TOKENS: ("token", "revoke", "none", "--yes"),
}


@pytest.fixture(params=Role)
def somebody(request: pytest.FixtureRequest, api: Served) -> tuple[Role, dict[str, str]]:
    role: Role = request.param
    return role, {"GATEPOST_TOKEN": api.run(api.control.token("rita", exactly=role))}


def test_a_command_is_refused_where_the_matrix_says_so(
    gatepost: Gatepost, somebody: tuple[Role, dict[str, str]]
) -> None:
    role, environment = somebody
    # As an approver Rita could agree to this one already; otherwise the second waits as change 1.
    gatepost("operator", "add", "bob", "--role", "approver", expect=3 if may({role}, Action.APPROVE) else 0)
    gatepost("operator", "add", "eve", "--role", "approver", expect=3)
    for action, words in COMMANDS.items():
        allowed = may({role}, action)
        # The change waits, and nothing else of that name is there: so what is allowed fails as well, but for these.
        done = allowed and (words[-1] == "list" or words[0] in ("change", "withdraw"))
        waits = allowed and words[0] == "apply"
        result = gatepost(*words, environment=environment, expect=0 if done else 3 if waits else 1)
        assert (f"gatepost: {not_allowed('rita', action)}\n" == result.stderr) is not allowed, (words, result.stderr)


def test_operators(gatepost: Gatepost) -> None:
    alone = gatepost("operator", "add", "bob", "--role", "approver", "--role", "auditor", "--login", "bob")
    assert "operator bob: approver, auditor, done without a second person" in alone.stdout
    waits = gatepost("operator", "add", "eve", "--role", "editor", expect=3)
    assert "not done yet: change 1 (make eve an operator: editor) needs the approval of a second person" in waits.stderr
    listed = gatepost("operator", "list").stdout
    assert "bob" in listed
    assert "eve" not in listed
    assert json.loads(gatepost("operator", "show", "bob", "--json").stdout)["logins"] == ["bob@corp.example"]
    fewer = gatepost("operator", "roles", "bob", "--role", "approver")
    assert "operator bob: approver" in fewer.stdout
    gatepost("operator", "remove", "bob", expect=1)
    removed = gatepost("operator", "remove", "bob", "--yes", expect=3)
    assert "change 2 (remove the operator bob) needs" in removed.stderr
    raised = gatepost("operator", "roles", "bob", "--role", "approver", "--role", "editor", expect=3)
    assert "change 3 (roles of bob: approver, editor (were approver)) needs" in raised.stderr


def test_a_source_for_any_device_waits_and_one_for_some_does_not(gatepost: Gatepost) -> None:
    gatepost("operator", "add", "bob", "--role", "approver")
    waits = gatepost("source", "add", "mdm", expect=3).stderr
    assert "needs the approval of a second person" in waits
    assert "Then: gatepost source rotate mdm" in waits
    assert gatepost("source", "add", "kiosks", "--devices", "kiosk-*").stdout.startswith("whsec_")


def test_a_token_by_option(gatepost: Gatepost) -> None:
    assert gatepost("token", "create", "--operator", "anna").stdout.startswith("gpt_")
    gatepost("token", "create", expect=2)
    gatepost("token", "create", "anna", "--operator", "bob", expect=2)


def test_a_token_of_no_use_yet_is_shown_and_the_exit_status_says_that_it_waits(gatepost: Gatepost) -> None:
    gatepost("operator", "add", "bob", "--role", "approver")
    waits = gatepost("token", "create", "bob", expect=3)
    assert waits.stdout.startswith("gpt_")
    assert "change 1 (a token for bob) needs the approval of a second person" in waits.stderr


def test_a_program_reads_what_waits_as_one_answer(gatepost: Gatepost) -> None:
    gatepost("operator", "add", "bob", "--role", "approver")
    made = json.loads(gatepost("operator", "add", "eve", "--role", "viewer", "--json", expect=3).stdout)
    assert (made["operator"], made["change"]) == (None, 1)
    token = json.loads(gatepost("token", "create", "bob", "--json", expect=3).stdout)
    assert (token["token"][:4], token["usable"], token["change"]) == ("gpt_", False, 2)
    source = json.loads(gatepost("source", "add", "mdm", "--json", expect=3).stdout)
    assert (source["secret"], source["change"]) == ("", 3)
    edit = gatepost(
        "exempt", "add", "--group", "board", "--for", "2d", "--reason", "x", "--yes", "--json", expect=3
    ).stdout
    assert json.loads(edit)["change"] == 4
