"""What a worker remembers of a phone that had mail by the short way: who it is, and the verdict that let it.

A standing is an answer kept, never an answer of its own. It holds as long as all that the verdict followed from is in
its place: the person's entry in the cache with the very verdicts of that moment (at any change they are replaced), the
policy, the state, the time. Else the phone is identified and judged anew.
"""

from hashlib import blake2b
from typing import Final

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import Entry
from gateway.domain.certificate import CertificateShown
from gateway.domain.policy import Policy
from gateway.domain.verdict import Verdict

STANDINGS = 250_000


class Standing:
    """One phone's. ``login`` and ``device_id`` are canonical."""

    __slots__ = ("_policy_mark", "_verdicts", "device_id", "entry", "login", "told_until", "verdict")

    def __init__(self, login: str, device_id: str, entry: Entry, policy: Policy, verdict: Verdict) -> None:
        """``verdict`` is one of the entry's, an ALLOW."""
        record = entry.record
        # Of a hundred thousand phones, one string each less.
        self.login: Final = record.person_id if record is not None and record.person_id == login else login
        self.device_id: Final = next((key for key in entry.verdicts if key == device_id), device_id)
        self.entry: Final = entry
        self.verdict: Final = verdict
        self.told_until = 0.0
        """Until when there is no need to note the phone as seen (epoch seconds)."""
        self._policy_mark: Final = policy.mark
        self._verdicts: Final = entry.verdicts

    def holds(self, decision: DecisionPoint, at: float) -> bool:
        """Whether the verdict is still what ``decision.judge`` would answer at that moment."""
        return (
            self.entry.verdicts is self._verdicts
            and self._policy_mark is decision.policy.mark
            and at < self.verdict.valid_until
            and not decision.state_lost
        )


def mark_of(who: bytes, secret: bytes) -> int:
    """What a standing is found by: a phone's words and its name and password, neither of which is kept.

    Two hashes of 64 bits, keyed by chance in each process (SipHash, PEP 456). Whoever has the same mark has both.
    """
    return hash(who) << 64 ^ hash(secret) & _LOW


_LOW = (1 << 64) - 1


def certificate_mark(certificate: CertificateShown | None) -> int:
    """What a connection's certificate adds to the marks of what comes by it, so that a standing is for it alone.

    It is no secret, but what it is added to cannot be foreseen. Made once for each connection.
    """
    if certificate is None:
        return 0
    shown = repr((certificate.id, certificate.logins, certificate.device_key)).encode()
    return int.from_bytes(blake2b(shown, digest_size=16).digest())


class Standings:
    """Standings by their marks; bounded."""

    def __init__(self, capacity: int = STANDINGS) -> None:
        self.by_mark: dict[int, Standing] = {}
        self._capacity = capacity

    def keep(self, mark: int, standing: Standing) -> None:
        """Remember one; when there is no room all are forgotten, which costs each phone one longer look."""
        if len(self.by_mark) >= self._capacity:
            self.by_mark.clear()
        self.by_mark[mark] = standing
