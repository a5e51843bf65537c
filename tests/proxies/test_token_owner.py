"""The strictest of two verdicts, where the record of one changes whenever that of the other is read."""

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.evidence import PersonRecord
from gateway.domain.verdict import Effect, Verdict
from gateway.proxies.token_owner import LOADS_MOST, TokenOwner, strictest
from tests.support.fronted import BAN, Evidence, policy

ANNA, BERT = "anna@corp.example", "bert@corp.example"


class Session:
    """Is told of nothing."""

    def turned(self, verdict: Verdict, request: AccessRequest) -> None:
        """Its verdict turned."""


class Restless(Evidence):
    """A change of the one is heard of while the other's record is read."""

    decision: DecisionPoint
    changes = 0

    async def read(self, login: str) -> PersonRecord:
        """What the cache calls."""
        found = await super().read(login)
        if self.changes:
            self.changes -= 1
            other = ANNA if login == BERT else BERT
            self.decision.cache.invalidate(other, self.put(other, "d1"))
        return found


def asked(evidence: Restless) -> tuple[DecisionPoint, AccessRequest, TokenOwner]:
    """Bert's name, with Anna's token."""
    evidence.put(ANNA, "d1")
    evidence.put(BERT, "d1")
    decision = evidence.decision = DecisionPoint(DeviceCache(evidence.read), policy(BAN))
    request = AccessRequest(BERT, "", Protocol.IMAP)
    return decision, request, TokenOwner(Session(), request._replace(login=ANNA), decision)


async def test_both_are_of_one_moment_once_the_changes_end() -> None:
    evidence = Restless()
    decision, request, owner = asked(evidence)
    evidence.changes = 3
    about, verdict = await strictest(decision, request, owner)
    assert (about.login, verdict.effect) == (BERT, Effect.ALLOW)
    assert decision.judge(request) is verdict
    assert decision.judge(owner.request) is not None
    await decision.close()


async def test_changes_without_end_are_not_waited_for() -> None:
    evidence = Restless()
    decision, request, owner = asked(evidence)
    evidence.changes = 1_000
    _, verdict = await strictest(decision, request, owner)
    assert verdict.effect is Effect.ALLOW
    assert evidence.reads == LOADS_MOST
    await decision.close()
