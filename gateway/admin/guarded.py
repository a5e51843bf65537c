"""Guarded actions: what is no part of the policy and takes a second person all the same.

Each is a ``GuardedAction`` with text values and one performer that does it inside a unit of work: that of the change
that a second person approved, or, while nobody else could approve, the author's own (the audit log says which).
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace

from gateway.admin.auth import revoked, token_created, token_revoked
from gateway.admin.operators import known_operators, operator_named, operator_told, other_approvers
from gateway.admin.wide_sources import ADD_SOURCE, REMOVE_WITH_EVIDENCE, add_wide, remove_with_evidence
from gateway.domain.change import GuardedAction, PolicyChange
from gateway.domain.errors import InvalidValue
from gateway.domain.operator import Action, NamedOperator, Role, may, name_of, roles_of, same_name
from gateway.ports.store import Conflict, OperatorToken, Store, Writing

Performer = Callable[[Writing, Mapping[str, str], str, bool], Awaitable[None]]
"""Does it: the action's values, who proposed it, and whether alone."""
Still = Callable[[Writing], Awaitable[None]]
"""Raises ``Conflict`` where an action takes a second person by now."""

ADD_OPERATOR = "add_operator"
SET_ROLES = "set_roles"
REMOVE_OPERATOR = "remove_operator"
ADD_TOKEN = "add_token"  # noqa: S105  (the name of a kind)


class Performers:
    """Does guarded actions by their kinds."""

    def __init__(self, performers: Mapping[str, Performer], now: Callable[[], float]) -> None:
        async def add_source(writing: Writing, values: Mapping[str, str], author: str, alone: bool) -> None:
            await add_wide(writing, values, author, now())

        async def remove_source(writing: Writing, values: Mapping[str, str], author: str, alone: bool) -> None:
            await remove_with_evidence(writing, values["name"], author, now(), alone=alone)

        of_sources = {ADD_SOURCE: add_source, REMOVE_WITH_EVIDENCE: remove_source}
        self._performers = {**performers, **_of_operators(now), **of_sources}

    async def perform(self, writing: Writing, action: GuardedAction, change: PolicyChange) -> None:
        """What ``Applier`` calls when the change is applied. Raises ``InvalidValue``."""
        await self._do(writing, action, change.author, alone=False)

    async def alone(self, store: Store, action: GuardedAction, author: str) -> bool:
        """Do it without a second person if there is none who could approve; False: nothing was done."""

        async def work(writing: Writing) -> bool:
            if await other_approvers(writing, author):
                return False
            await self._do(writing, action, author, alone=True)
            return True

        done, _ = await store.write(work)
        return done

    async def at_once(self, store: Store, action: GuardedAction, author: str, still: Still | None = None) -> None:
        """Do what takes no second person, like taking a role away. Raises ``InvalidValue``, ``Conflict``.

        ``still`` says, in the unit of work that does it, whether it takes none: what was read before may be otherwise.
        """

        async def work(writing: Writing) -> None:
            if still is not None:
                await still(writing)
            await self._do(writing, action, author, alone=False)

        await store.write(work)

    async def _do(self, writing: Writing, action: GuardedAction, author: str, *, alone: bool) -> None:
        performer = self._performers.get(action.kind)
        if performer is None:
            raise InvalidValue(f"nobody here can do {action.kind}")
        await performer(writing, action.values, author, alone)


def _of_operators(now: Callable[[], float]) -> dict[str, Performer]:
    async def add(writing: Writing, values: Mapping[str, str], author: str, alone: bool) -> None:
        wanted = wanted_operator(values, now(), author)
        before = await see_that_free(writing, wanted.name)
        # In the place of a removed one of that name, however it is spelt: one name is one person.
        operator = replace(wanted, name=before.name) if before else wanted
        await writing.put_operator(operator)
        await writing.log_audit(operator_told(operator, author, "made", alone=alone))

    async def set_roles(writing: Writing, values: Mapping[str, str], author: str, alone: bool) -> None:
        present = await present_operator(writing, values["name"])
        see_that_unchanged(present, values.get("were", ""))
        changed = replace(present, roles=roles_of(values["roles"].split()))
        await writing.put_operator(changed)
        await see_that_somebody_remains(writing)
        await writing.log_audit(operator_told(changed, author, "changed", alone=alone))
        if not alone and _gains_power(present, changed) and await _has_tokens_by_others(writing, present.name):
            # Whoever made one of them while that took nobody's yes would be two people now.
            await _revoke_tokens(writing, present.name, now(), author)

    async def remove(writing: Writing, values: Mapping[str, str], author: str, alone: bool) -> None:
        await removed(writing, values["name"], author, now(), alone=alone)

    async def add_token(writing: Writing, values: Mapping[str, str], author: str, alone: bool) -> None:
        if values["owner_roles"]:
            owner = {"name": values["name"], "roles": values["owner_roles"]}
            await add(writing, owner, author, alone)
        operator = await present_operator(writing, values["name"])
        token = _token_of(values, operator.name, now(), author)
        await writing.put_token(token)
        await writing.log_audit(token_created(token, author))

    return {ADD_TOKEN: add_token, ADD_OPERATOR: add, SET_ROLES: set_roles, REMOVE_OPERATOR: remove}


def action_for(token: OperatorToken, owner: NamedOperator | None) -> GuardedAction:
    """That a token becomes usable; ``owner``: the operator to be made with it. Its digest is kept, not itself."""
    values = {
        "name": token.operator,
        "id": token.id,
        "digest": token.digest,
        "expires_at": "" if token.expires_at is None else repr(token.expires_at),
        "role": token.role,
        "reach": token.reach,
        "owner_roles": " ".join(sorted(owner.roles)) if owner else "",
    }
    return GuardedAction(ADD_TOKEN, values)


def _token_of(values: Mapping[str, str], name: str, now: float, author: str) -> OperatorToken:
    ends = float(values["expires_at"]) if values["expires_at"] else None
    return OperatorToken(values["id"], name, values["digest"], now, ends, None, values["role"], values["reach"], author)


def wanted_operator(values: Mapping[str, str], at: float, author: str) -> NamedOperator:
    """The operator that an action's values describe. Raises ``InvalidValue``."""
    logins = tuple(values.get("logins", "").split())
    return NamedOperator(name_of(values["name"]), roles_of(values["roles"].split()), logins, False, at, author)


async def see_that_free(writing: Writing, name: str) -> NamedOperator | None:
    """The removed operator of that name, if any. Raises ``Conflict`` where there is one who is not removed."""
    known = await operator_named(writing, name)
    if known is not None and known.present:
        raise Conflict(f"there is an operator {known.name} already: gatepost operator roles changes what one may do")
    return known


async def present_operator(writing: Writing, name: str) -> NamedOperator:
    """The operator of that name. Raises ``InvalidValue`` where there is none."""
    known = await operator_named(writing, name)
    if known is None or not known.present:
        raise InvalidValue(f"there is no operator {name}: gatepost operator list shows them")
    return known


async def see_that_somebody_remains(writing: Writing) -> None:
    """Raises ``Conflict`` where nobody would be left who may make operators."""
    if not any(each.present and may(each.roles, Action.SET_OPERATORS) for each in await known_operators(writing)):
        raise Conflict(f"then nobody could make operators any more: give another one the role {Role.EDITOR} first")


def see_that_unchanged(present: NamedOperator, were: str) -> None:
    """Raises ``Conflict`` where an operator's roles are not those that the change was made on."""
    if were and roles_of(were.split()) != present.roles:
        raise Conflict(
            f"the roles of {present.name} were changed meanwhile, to {', '.join(sorted(present.roles))}: say them anew "
            f"(gatepost operator roles {present.name})"
        )


async def see_that_no_approver(writing: Writing, name: str) -> None:
    """Raises ``Conflict`` where the operator may approve by now: removing one takes two people."""
    if may((await present_operator(writing, name)).roles, Action.APPROVE):
        raise Conflict(f"{name} may approve since a moment ago: do it again, and a second person has to agree")


def _gains_power(before: NamedOperator, after: NamedOperator) -> bool:
    """Whether somebody may edit or approve from now on who might do neither."""
    return powerful(after.roles) and not powerful(before.roles)


def powerful(roles: Collection[Role]) -> bool:
    """Whether a token that reaches them makes its holder a second person: it edits or approves."""
    return may(roles, Action.EDIT_POLICY) or may(roles, Action.APPROVE)


async def _has_tokens_by_others(writing: Writing, name: str) -> bool:
    of_name = [each for each in await writing.tokens() if same_name(each.operator, name)]
    return any(each.created_by and not same_name(each.created_by, name) for each in of_name)


async def _revoke_tokens(writing: Writing, name: str, at: float, author: str) -> None:
    for token in await writing.tokens():
        if same_name(token.operator, name) and token.revoked_at is None:
            ended = revoked(token, at)
            await writing.put_token(ended)
            await writing.log_audit(token_revoked(ended, author))


async def removed(writing: Writing, name: str, author: str, at: float, *, alone: bool = False) -> NamedOperator:
    """Remove an operator; the person's tokens end with it, for the version before this one, too."""
    ended = replace(await present_operator(writing, name), removed_at=at)
    await writing.put_operator(ended)
    for each in await writing.operators():
        # A version before this one kept a row for each spelling.
        if each.present and same_name(each.name, ended.name):
            await writing.put_operator(replace(each, removed_at=at))
    await see_that_somebody_remains(writing)
    await _revoke_tokens(writing, ended.name, at, author)
    await writing.log_audit(operator_told(ended, author, "removed", alone=alone))
    return ended
