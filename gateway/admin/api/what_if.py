"""The part of a ``why`` question that thinks something otherwise, and the word to the audit log where that looks into
somebody's apps."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from gateway.admin.api.deps import ApiDeps, policy_in_store
from gateway.admin.api.problems import not_found
from gateway.changes.what_if import MOST, WhatIf
from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import Reading, Writing

REASON_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Thought:
    """What is thought otherwise, and why that is asked."""

    wanted: WhatIf
    policy: int
    """By which policy version; 0: the newest."""
    reason: str

    def __bool__(self) -> bool:
        """Whether anything is."""
        return bool(self.wanted) or self.policy > 0


async def _thought(
    policy: Annotated[int, Query(ge=0, lt=1 << 31, description="by this policy version; 0: the newest")] = 0,
    with_ban: Annotated[
        list[str], Query(max_length=MOST, description="NAME=android:ID; enforced unless flag says otherwise")
    ] = [],  # noqa: B006  (read only)
    with_app: Annotated[list[str], Query(max_length=MOST, description="android:ID")] = [],  # noqa: B006
    without_app: Annotated[list[str], Query(max_length=MOST, description="android:ID")] = [],  # noqa: B006
    flag: Annotated[list[str], Query(max_length=MOST, description="BAN=enforce")] = [],  # noqa: B006
    unknown: Annotated[list[str], Query(max_length=MOST, description="stale=deny")] = [],  # noqa: B006
    reason: Annotated[str, Query(max_length=REASON_LONGEST, description="needed with with_ban; audited")] = "",
) -> Thought:
    wanted = WhatIf(tuple(with_ban), tuple(with_app), tuple(without_app), tuple(flag), tuple(unknown))
    return Thought(wanted, policy, reason.strip())


Thinking = Annotated[Thought, Depends(_thought)]


async def version_asked_for(reading: Reading, number: int) -> PolicyVersion:
    """That policy version, or the newest."""
    if not number:
        return await policy_in_store(reading)
    version = await reading.policy(number)
    if version is None:
        raise not_found(f"there is no policy version {number}: gatepost policy list shows them")
    return version


async def see_that_it_is_told(deps: ApiDeps, author: str, subject: Subject, thought: Thought) -> None:
    """The audit log is told who looked for which apps at whom, before anybody is told the answer."""
    if not thought.wanted.bans:
        return
    if not thought.reason:
        raise InvalidValue(
            "a ban that is thought up tells whether an app is on somebody's device: give a reason (--reason); the audit"
            " log keeps it"
        )
    details = {"what": "what_if", "bans": list(thought.wanted.bans), "reason": thought.reason}
    entry = AuditEntry(AuditKind.PERSON_VIEWED, author, (subject,), details)

    async def work(writing: Writing) -> None:
        await writing.log_audit(entry)

    await deps.store.write(work)
