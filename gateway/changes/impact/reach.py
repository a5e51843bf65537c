"""Which devices a protocol can name, and what that makes of its verdicts.

ActiveSync names every mail device but those that are known by a device credential only; the other protocols name those
for which a credential stands. Whoever cannot be named is asked for by name of the person, and all devices answer.
"""

from pyroaring import BitMap

from gateway.changes.impact.algebra import Evaluation
from gateway.changes.impact.evidence_rows import Mark
from gateway.changes.impact.fleet import Fleet
from gateway.domain.access import Protocol


class Reach:
    """Of one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        mail = fleet.marked(Mark.MAIL)
        self._by_activesync = mail - fleet.marked(Mark.BY_CREDENTIAL)
        self._by_others = mail & fleet.marked(Mark.CREDENTIAL)
        self.protocols: tuple[Protocol, ...] = tuple(Protocol) if self._by_others else (Protocol.ACTIVESYNC,)
        """Those that name any device at all."""
        self.all = self._by_activesync | self._by_others
        self.everything = len(self.all) == sum(map(len, fleet.platforms.values()))
        """There is no device that no protocol can name."""

    def of(self, protocol: Protocol) -> BitMap:
        """The devices that the protocol can name."""
        return self._by_activesync if protocol is Protocol.ACTIVESYNC else self._by_others

    def refused(self, evaluation: Evaluation, protocol: Protocol) -> BitMap:
        """The devices that are refused by the protocol, of those it can name."""
        return evaluation.refused(protocol) & self.of(protocol)

    def served(self, evaluation: Evaluation) -> BitMap:
        """The devices that have mail by some protocol."""
        found = BitMap()
        for protocol in self.protocols:
            found |= self.of(protocol) - evaluation.refused(protocol)
        return found
