"""Whom an import of groups cuts or lets in: bans, flags and exemptions go by groups.

No guard of a change sees that, since nothing of the policy is touched: a rule for a group of nobody cuts nobody, and a
file of members after it would cut everybody. So it is counted before anything is written, told to the audit log, and
one person alone cuts no more devices so within a day than by changes of the policy.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.decide import decide
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Policy, PolicyVersion
from gateway.domain.verdict import Effect
from gateway.ports.store import Conflict, OutcomeUnknown, StoreUnavailable

DAY_SECONDS = 86_400.0
BY_LOGIN = (Protocol.IMAP, Protocol.POP3, Protocol.SMTP, Protocol.WEBMAIL)


@dataclass(frozen=True, slots=True)
class Turns:
    """How many devices; a person of whom none turns, but the answer to a login, counts as one."""

    cut: int = 0
    admitted: int = 0

    def __add__(self, other: "Turns") -> "Turns":
        return Turns(self.cut + other.cut, self.admitted + other.admitted)


def groups_that_count(version: PolicyVersion) -> frozenset[str]:
    """The groups by which a policy decides."""
    return frozenset(_groups(version)) - {""}


def _groups(version: PolicyVersion) -> Iterator[str]:
    for ban in version.bans:
        yield from ban.groups
        yield from (rule.group for rule in ban.rules)
    yield from (each.group for each in version.exemptions)


def turns_of(record: PersonRecord, groups: frozenset[str], policy: Policy, now: float) -> Turns:
    """What becomes of one person in these groups instead of those of the record."""
    after = replace(record, groups=groups)
    turns = _counted(record, after, _phones(record), policy, now)
    if turns == Turns():
        by_login = _counted(record, after, _logins(record), policy, now)
        turns = Turns(min(1, by_login.cut), min(1, by_login.admitted))
    return turns


def _counted(
    before: PersonRecord, after: PersonRecord, asked: Iterable[AccessRequest], policy: Policy, now: float
) -> Turns:
    turns = Turns()
    for request in asked:
        was, is_now = (decide(request, record, policy, now).effect is Effect.DENY for record in (before, after))
        turns += Turns(int(is_now and not was), int(was and not is_now))
    return turns


def _phones(record: PersonRecord) -> Iterator[AccessRequest]:
    for device_id in record.devices:
        yield AccessRequest(record.person_id, device_id, Protocol.ACTIVESYNC, IdentityStrength.DEVICE_ID)


def _logins(record: PersonRecord) -> Iterator[AccessRequest]:
    for protocol in BY_LOGIN:
        yield AccessRequest(record.person_id, "", protocol, IdentityStrength.USER_WIDE)


class ImportLimit:
    """What each person has cut by imports within a day; as far as this process knows, which restarts forget."""

    def __init__(self, at_most: Callable[[], int | None], now: Callable[[], float]) -> None:
        """``at_most``: devices that one person may cut alone within a day; None: any number."""
        self._at_most = at_most
        self._now = now
        self._cut: dict[str, list[tuple[float, int]]] = {}

    def left(self, author: str) -> int | None:
        """How many more that person may cut alone by now; None: any number."""
        limit = self._at_most()
        return None if limit is None else max(0, limit - sum(number for _, number in self._late(author)))

    def _late(self, author: str) -> list[tuple[float, int]]:
        since = self._now() - DAY_SECONDS
        return [each for each in self._cut.get(author.casefold(), ()) if each[0] > since]

    @contextmanager
    def taken(self, author: str, cut: int) -> Iterator[None]:
        """Count what is cut within, unless that fails so that nothing of it is kept.

        It counts from the beginning, for others may ask meanwhile. Raises ``InvalidValue`` where it is too much for one
        person.
        """
        if not cut:
            yield
            return
        limit, late = self._at_most(), self._late(author)
        before = sum(number for _, number in late)
        if limit is not None and cut + before > limit:
            earlier = f", {before} more by {author}'s imports of the last 24 hours" if before else ""
            raise InvalidValue(
                f"by rules for groups {cut} devices would be newly cut{earlier}; one person alone may cut {limit} so "
                "within a day. Nothing of these rows was imported: turn the rules to report-only (gatepost flag list "
                "shows them), import, and enforce again, which is a change with its preview"
            )
        taken = (self._now(), cut)
        self._cut[author.casefold()] = [*late, taken]
        try:
            yield
        except OutcomeUnknown:
            # It may be stored.
            raise
        except (Conflict, InvalidValue, StoreUnavailable):
            # Of a mistake of ours nobody knows what it has left. That very one: others may have come since.
            self._cut[author.casefold()] = [each for each in self._cut[author.casefold()] if each is not taken]
            raise
