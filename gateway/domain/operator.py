"""Operators: named people with roles, and the one table that says which role may do what.

``ALLOWED`` decides, and nothing else does: a route of the API names its action, commands go through the API, and a
person may do what any one of the person's roles may. Less enforcement (turn off, withdraw, halt) is for three roles, so
that whoever is there can stop harm; more enforcement is proposed by one role and approved by another.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from unicodedata import normalize

from gateway.domain.errors import InvalidValue

NAME_LONGEST = 100
LOGINS_AT_MOST = 20


class Role(StrEnum):
    """What somebody is there for."""

    VIEWER = "viewer"
    """Sees how things stand, and nobody's apps."""
    HELP_DESK = "help-desk"
    """Sees why one person is refused, and issues device credentials."""
    OPERATOR = "operator"
    """Runs the gateway: sources, bindings, people; turns off, halts and withdraws."""
    EDITOR = "editor"
    """Proposes changes of the policy and of operators."""
    APPROVER = "approver"
    """Agrees to what others propose."""
    AUDITOR = "auditor"
    """Reads who did what."""


class Action(StrEnum):
    """What is done by API and commands."""

    VIEW = "view"
    """Settings, bans, flags, changes, figures, names of operators."""
    SEE_PERSON = "see a person"
    """A person's devices, apps and verdicts; who has an app."""
    READ_AUDIT = "read the audit log"
    ERASE_PERSON = "erase a person"
    TURN_DOWN = "turn down"
    """Turn off, withdraw, halt, reject: what enforces less."""
    EDIT_POLICY = "edit the policy"
    PREVIEW = "preview"
    APPLY = "apply"
    """Put a change into force that somebody with another role has made, if the guards let it."""
    WORK_BRAKE = "work the fleet brake"
    """Let go what it holds, or say that it is to be held on."""
    APPROVE = "approve"
    BIND = "bind"
    """Say which phone is which inventory device, and forget one."""
    ISSUE_CREDENTIALS = "issue credentials"
    IMPORT_PEOPLE = "import people"
    SET_SOURCES = "set sources"
    SET_OPERATORS = "set operators"
    OWN_TOKENS = "own tokens"
    """Create and revoke tokens of one's own."""
    REVOKE_TOKENS = "revoke tokens"
    """Anybody's: shutting out is no power that grows."""
    STOP_NOTICES = "stop notices"
    SEND_NOTICES = "send notices"
    """Release, or send again."""


_EVERYBODY = frozenset(Role)
_STOPPING = frozenset({Role.OPERATOR, Role.EDITOR, Role.APPROVER})

ALLOWED: dict[Action, frozenset[Role]] = {
    Action.VIEW: _EVERYBODY,
    Action.SEE_PERSON: _EVERYBODY - {Role.VIEWER},
    Action.READ_AUDIT: frozenset({Role.AUDITOR, Role.APPROVER}),
    Action.ERASE_PERSON: frozenset({Role.AUDITOR, Role.EDITOR}),
    Action.TURN_DOWN: _STOPPING,
    Action.EDIT_POLICY: frozenset({Role.EDITOR}),
    Action.PREVIEW: _STOPPING,
    Action.APPLY: _STOPPING,
    Action.WORK_BRAKE: _STOPPING,
    Action.APPROVE: frozenset({Role.APPROVER}),
    Action.BIND: frozenset({Role.OPERATOR}),
    Action.ISSUE_CREDENTIALS: frozenset({Role.HELP_DESK, Role.OPERATOR}),
    Action.IMPORT_PEOPLE: frozenset({Role.OPERATOR}),
    Action.SET_SOURCES: frozenset({Role.OPERATOR}),
    Action.SET_OPERATORS: frozenset({Role.EDITOR}),
    Action.OWN_TOKENS: _EVERYBODY,
    Action.REVOKE_TOKENS: _STOPPING,
    Action.STOP_NOTICES: _STOPPING,
    Action.SEND_NOTICES: frozenset({Role.EDITOR}),
}

ALL_ROLES = frozenset(Role)
EDITORS_OF_OLD = frozenset({Role.EDITOR, Role.APPROVER, Role.OPERATOR})
"""What an editor was while there were two roles only."""
VIEWERS_OF_OLD = frozenset({Role.VIEWER})


def may(roles: Collection[Role], action: Action) -> bool:
    """Whether one of the roles allows the action."""
    return not ALLOWED[action].isdisjoint(roles)


def roles_for(action: Action) -> str:
    """The roles that allow it, in words."""
    names = [role.value for role in Role if role in ALLOWED[action]]
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def not_allowed(name: str, action: Action) -> str:
    """Why somebody may not do that, in one sentence."""
    return f"{name} may not {action}: this needs the role {roles_for(action)}"


@dataclass(frozen=True, slots=True)
class NamedOperator:
    """A person who administers the gateway."""

    name: str
    roles: frozenset[Role]
    logins: tuple[str, ...] = ()
    """The person's own canonical mail logins: who would be cut by an own change is named."""
    first_start: bool = False
    """Made by the first start, for whoever may read its file: approves only while there is nobody else."""
    created_at: float = 0.0
    created_by: str = ""
    removed_at: float | None = None

    @property
    def present(self) -> bool:
        """Whether not removed."""
        return self.removed_at is None


def name_of(text: str) -> str:
    """The name of an operator. Raises ``InvalidValue``."""
    # What looks the same is the same: no second person by another way to write an accent.
    name = normalize("NFKC", text[: 2 * NAME_LONGEST]).strip()
    if not name or len(name) > NAME_LONGEST or not name.isprintable():
        raise InvalidValue(f"an operator's name has 1 to {NAME_LONGEST} printable characters")
    return name


def same_name(one: str, other: str) -> bool:
    """Whether two names are one person's: upper and lower case, or another form of a letter, make no second one."""
    return name_key(one) == name_key(other)


def name_key(name: str) -> str:
    """The same text for all spellings of one person's name."""
    return normalize("NFKC", name).casefold()


def one_for_each_name(operators: Collection[NamedOperator]) -> dict[str, NamedOperator]:
    """Operators by ``name_key``. Of several spellings of one name who is there counts, then the youngest."""
    found: dict[str, NamedOperator] = {}
    for each in sorted(operators, key=lambda each: (each.present, each.created_at)):
        found[name_key(each.name)] = each
    return found


def roles_of(names: Collection[str]) -> frozenset[Role]:
    """Roles by their names. Raises ``InvalidValue``."""
    if not names:
        raise InvalidValue(f"an operator has at least one role of {', '.join(Role)}")
    try:
        return frozenset(Role(name.strip().lower()) for name in names)
    except ValueError:
        raise InvalidValue(f"the roles are {', '.join(Role)}") from None


def approvers(operators: Collection[NamedOperator]) -> tuple[NamedOperator, ...]:
    """Who may approve: the first start's operator only while there is nobody else."""
    present = [each for each in operators if each.present]
    alone = len(present) == 1
    return tuple(each for each in present if may(each.roles, Action.APPROVE) and (alone or not each.first_start))
