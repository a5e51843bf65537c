"""The matrix of roles and actions, cell by cell, and who may approve."""

import pytest

from gateway.domain.errors import InvalidValue
from gateway.domain.operator import (
    ALL_ROLES,
    ALLOWED,
    Action,
    NamedOperator,
    Role,
    approvers,
    may,
    name_of,
    roles_for,
    roles_of,
    same_name,
)

ORDER = (Role.VIEWER, Role.HELP_DESK, Role.OPERATOR, Role.EDITOR, Role.APPROVER, Role.AUDITOR)
CELLS = {
    Action.VIEW: "xxxxxx",
    Action.SEE_PERSON: ".xxxxx",
    Action.READ_AUDIT: "....xx",
    Action.ERASE_PERSON: "...x.x",
    Action.TURN_DOWN: "..xxx.",
    Action.EDIT_POLICY: "...x..",
    Action.PREVIEW: "..xxx.",
    Action.APPLY: "..xxx.",
    Action.APPROVE: "....x.",
    Action.WORK_BRAKE: "..xxx.",
    Action.BIND: "..x...",
    Action.ISSUE_CREDENTIALS: ".xx...",
    Action.IMPORT_PEOPLE: "..x...",
    Action.SET_SOURCES: "..x...",
    Action.SET_OPERATORS: "...x..",
    Action.OWN_TOKENS: "xxxxxx",
    Action.REVOKE_TOKENS: "..xxx.",
    Action.STOP_NOTICES: "..xxx.",
    Action.SEND_NOTICES: "...x..",
}


def test_every_action_has_its_row() -> None:
    assert set(CELLS) == set(Action) == set(ALLOWED)
    assert set(ORDER) == ALL_ROLES


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", ORDER)
def test_a_cell(role: Role, action: Action) -> None:
    assert may({role}, action) is (CELLS[action][ORDER.index(role)] == "x")


def test_several_roles_may_what_any_one_of_them_may() -> None:
    assert may({Role.VIEWER, Role.APPROVER}, Action.APPROVE)
    assert not may((), Action.VIEW)


def test_roles_in_words() -> None:
    assert roles_for(Action.APPROVE) == "approver"
    assert roles_for(Action.TURN_DOWN) == "operator, editor or approver"


def test_the_first_start_approves_only_while_it_is_alone() -> None:
    first = NamedOperator("admin", ALL_ROLES, first_start=True)
    anna = NamedOperator("anna", frozenset({Role.EDITOR}))
    bob = NamedOperator("bob", frozenset({Role.APPROVER}))
    assert approvers([first]) == (first,)
    assert approvers([first, anna]) == ()
    assert approvers([first, anna, bob]) == (bob,)
    assert approvers([first, NamedOperator("eve", ALL_ROLES, removed_at=1.0)]) == (first,)


def test_names_and_roles_that_are_none() -> None:
    assert name_of(" anna ") == "anna"
    assert same_name("Anna", "anna")
    assert name_of("Jose\u0301") == "José"
    assert same_name("Jose\u0301", "JOSÉ")
    for name in ("", " ", "a" * 101, "a\x07"):
        with pytest.raises(InvalidValue):
            name_of(name)
    assert roles_of(["Editor", " help-desk"]) == {Role.EDITOR, Role.HELP_DESK}
    for names in ([], ["god"]):
        with pytest.raises(InvalidValue):
            roles_of(names)
