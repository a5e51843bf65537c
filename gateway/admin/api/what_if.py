"""The part of a ``why`` question that thinks something otherwise or looks back, and the word to the audit log."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from gateway.admin.api.deps import ApiDeps
from gateway.admin.api.moments import GivenMoment, epoch
from gateway.admin.api.views import REASON_LONGEST, look_told, reason_given, view_told
from gateway.changes.what_if import MOST, WhatIf
from gateway.domain.audit import Subject
from gateway.domain.audit.entry import moment_text


@dataclass(frozen=True, slots=True)
class Thought:
    """What is thought otherwise, and why that is asked."""

    wanted: WhatIf
    policy: int
    """By which policy version; 0: the newest."""
    reason: str
    at: float | None = None
    """As of that moment; None: now."""

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
    at: Annotated[GivenMoment | None, Query(description="as of that moment: what was known and in force then")] = None,
) -> Thought:
    wanted = WhatIf(tuple(with_ban), tuple(with_app), tuple(without_app), tuple(flag), tuple(unknown))
    return Thought(wanted, policy, reason.strip(), epoch(at))


Thinking = Annotated[Thought, Depends(_thought)]


async def see_that_it_is_told(deps: ApiDeps, author: str, subject: Subject, thought: Thought) -> None:
    """The audit log is told who asked why about whom, before anybody is told the answer.

    A ban that is thought up tells whether an app is on somebody's device: that takes a reason.
    """
    at = "" if thought.at is None else moment_text(thought.at)
    if not thought.wanted.bans:
        await look_told(deps, author, subject, "why", reason=thought.reason, as_of=at)
        return
    reason = reason_given(thought.reason, "a ban that is thought up tells whether an app is on somebody's device")
    bans = list(thought.wanted.bans)
    await view_told(deps, author, (subject,), "what_if", bans=bans, reason=reason, as_of=at)
