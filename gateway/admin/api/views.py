"""Who looked at whom: told to the audit log before anybody is told the answer.

What lists somebody's apps, asks whether an app is on somebody's device, or names whom a change cuts takes a reason, and
is not answered where the log cannot be written. Looking up why one person is refused is told as well, but goes on
without: it is most needed when the store is in trouble, and the gateway's own log has it then.
"""

from collections.abc import Sequence
from typing import Annotated

import structlog
from fastapi import Query

from gateway.admin.api.deps import ApiDeps
from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import Value
from gateway.domain.errors import InvalidValue
from gateway.ports.store import StoreUnavailable, Writing

log = structlog.get_logger()

REASON_LONGEST = 300
SUBJECTS_TO_AN_ENTRY = 100

Reason = Annotated[str, Query(alias="reason", max_length=REASON_LONGEST, description="why; the audit log keeps it")]


def reason_given(reason: str, what: str) -> str:
    """The reason. Raises ``InvalidValue`` where there is none; ``what`` begins the sentence."""
    if not reason.strip():
        raise InvalidValue(f"{what}: give a reason (--reason); the audit log keeps it")
    return reason.strip()


async def view_told(deps: ApiDeps, author: str, subjects: Sequence[Subject], what: str, **details: Value) -> None:
    """Tell that ``author`` looks at these people. Raises ``StoreUnavailable``: then nothing is to be shown."""
    said = {"what": what, **{name: value for name, value in details.items() if value not in ("", None)}}

    async def work(writing: Writing) -> None:
        for begin in range(0, max(1, len(subjects)), SUBJECTS_TO_AN_ENTRY):
            some = tuple(subjects[begin : begin + SUBJECTS_TO_AN_ENTRY])
            await writing.log_audit(AuditEntry(AuditKind.PERSON_VIEWED, author, some, said))

    await deps.store.write(work)


async def look_told(deps: ApiDeps, author: str, subject: Subject, what: str, **details: Value) -> None:
    """The same for a look at how one person stands; goes on where the store cannot be written."""
    try:
        await view_told(deps, author, (subject,), what, **details)
    except StoreUnavailable as error:
        log.warning("view_not_audited", author=author, login=subject.login, what=what, error=str(error))
