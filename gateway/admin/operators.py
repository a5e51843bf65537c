"""Who the operators are: those of the store, and whoever has a token of the version before this one.

That version makes tokens for names without an operator behind them. Such a name is an operator with the roles that an
editor or viewer had then, until somebody says otherwise.
"""

from collections.abc import Collection, Sequence

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import Value
from gateway.domain.change import Approval
from gateway.domain.operator import (
    EDITORS_OF_OLD,
    VIEWERS_OF_OLD,
    Action,
    NamedOperator,
    Role,
    approvers,
    may,
    name_key,
    one_for_each_name,
    same_name,
)
from gateway.ports.store import OperatorToken, Reading


async def known_operators(reading: Reading) -> Sequence[NamedOperator]:
    """All operators by name, removed ones included."""
    found = one_for_each_name(await reading.operators())
    old: dict[str, NamedOperator] = {}
    # The oldest first: it says since when.
    for token in reversed(await reading.tokens()):
        name = name_key(token.operator)
        if name not in found and (name not in old or token.role == Role.EDITOR):
            old[name] = _of_old(token)
    return sorted((found | old).values(), key=lambda each: each.name)


def _of_old(token: OperatorToken) -> NamedOperator:
    roles = EDITORS_OF_OLD if token.role == Role.EDITOR else VIEWERS_OF_OLD
    return NamedOperator(token.operator, roles, created_at=token.created_at)


async def operator_named(reading: Reading, name: str) -> NamedOperator | None:
    """An operator by name, in whatever case; a removed one, too."""
    return next((each for each in await known_operators(reading) if same_name(each.name, name)), None)


async def operator_behind(reading: Reading, token: OperatorToken) -> NamedOperator:
    """Whom a token belongs to."""
    known = one_for_each_name(await reading.operators()).get(name_key(token.operator))
    return known or await operator_named(reading, token.operator) or _of_old(token)


async def who_can(reading: Reading, action: Action, now: float, without: str = "") -> Sequence[str]:
    """Names of the operators who may do that and have a usable token, other than the one of id ``without``."""
    operators = {name_key(each.name): each for each in await known_operators(reading) if each.present}
    found: dict[str, None] = {}
    for token in await reading.tokens():
        operator = operators.get(name_key(token.operator))
        ended = token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= now)
        looks_only = token.reach == Role.VIEWER or (not token.reach and token.role == Role.VIEWER)
        if operator is None or ended or token.id == without or looks_only:
            continue
        if may(operator.roles, action):
            found[operator.name] = None
    return list(found)


async def other_approvers(reading: Reading, author: str) -> Sequence[str]:
    """Names of those who could approve what ``author`` proposes."""
    able = approvers(await known_operators(reading))
    return [each.name for each in able if not same_name(each.name, author)]


async def operators_count(reading: Reading) -> int:
    """How many operators there are."""
    return sum(each.present for each in await known_operators(reading))


async def logins_of(reading: Reading, name: str) -> Collection[str]:
    """The mail logins of an operator, aliases included."""
    operator = await operator_named(reading, name)
    found = set(operator.logins) if operator else set()
    for login in tuple(found):
        person = await reading.person_by_login(login)
        if person is not None:
            found.update((person.person_id, *person.aliases))
    return frozenset(found)


def operator_told(operator: NamedOperator, author: str, what: str, *, alone: bool = False) -> AuditEntry:
    """What the audit log is told; ``what``: made, changed or removed; ``alone``: nobody else could approve."""
    details: dict[str, Value] = {"operator": operator.name, "what": what, "roles": sorted(operator.roles)}
    if alone:
        details["alone"] = True
    return AuditEntry(AuditKind.OPERATOR, author, details=details)


async def approval_stands(reading: Reading, approval: Approval) -> bool:
    """Whether an approval still counts: its token was not revoked since, and its operator may still approve."""
    token = next((each for each in await reading.tokens() if each.id == approval.token_id), None)
    operator = await operator_named(reading, approval.operator)
    able = operator is not None and operator.present and may(operator.roles, Action.APPROVE)
    return able and token is not None and token.revoked_at is None
