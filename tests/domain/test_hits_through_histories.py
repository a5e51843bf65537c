"""A hit lives until something newer that sees as much says that the app is gone, whatever else happens meanwhile.

Random histories of one mail device: three inventory devices of two sources report, are checked out and come back, lose
and regain the DeviceId. A log written by the test says which sightings nothing has answered yet.
"""

from dataclasses import dataclass, field, replace

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.inventory import App, Naming, Scope
from gateway.domain.matching import compiled
from gateway.domain.posture import open_hits, surviving_hits
from tests.support.evidence_strategies import DAY, MAIL, MINUTE, NOW, TIKTOK, TIKTOK_BAN, of_person, thorough

INDEX = compiled((TIKTOK_BAN,))
PLACES = (("mdm", "m1"), ("mdm", "m2"), ("jamf", "j1"))
NEWER_TIKTOK = replace(TIKTOK, version="35.0")


@dataclass(frozen=True, slots=True)
class Step:
    """At ``minutes`` one inventory device reports ``apps``, or leaves (None)."""

    place: tuple[str, str]
    minutes: int
    apps: tuple[App, ...] | None
    scope: Scope = Scope.DEVICE
    names_device: bool = True
    suspicious: bool = False


steps = st.builds(
    Step,
    st.sampled_from(PLACES),
    st.integers(0, 40),
    st.sampled_from([None, (), (MAIL,), (TIKTOK,), (NEWER_TIKTOK, MAIL)]),
    st.sampled_from([Scope.DEVICE, Scope.DEVICE, Scope.WORK_PROFILE, Scope.MANAGED_ONLY]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([False, False, False, True]),
)


@dataclass(slots=True)
class History:
    """What is stored about the person, and the test's own log of sightings that nothing has answered."""

    evidence: dict[tuple[str, str], tuple[SourceEvidence, bool]] = field(default_factory=dict)
    stones: dict[str, tuple[Tombstone, ...]] = field(default_factory=dict)
    open: list[SourceEvidence] = field(default_factory=list)
    """Evidence that showed the app on the mail device."""

    def take(self, step: Step) -> None:
        before = self.record()
        old = self.evidence.pop(step.place, None)
        if step.apps is not None:
            if old is not None and old[0].generated_at >= NOW + step.minutes * MINUTE:
                # Late: refused by the order of reports.
                self.evidence[step.place] = old
                return
            self.evidence[step.place] = (_evidence(step), step.names_device)
        for device_id, stones in surviving_hits(before, self.record(), INDEX).items():
            self.stones[device_id] = stones
        self._write_log(step)

    def record(self) -> PersonRecord:
        named = tuple(evidence for evidence, here in self.evidence.values() if here)
        state = BindingState.BOUND if named else BindingState.UNMATCHED
        if len({evidence.source_id for evidence in named}) < len(named):
            state = BindingState.CONFLICT
        device = DeviceEvidence("d1", state, named, self.stones.get("d1", ()))
        loose = [DeviceEvidence("", BindingState.BOUND, (each,)) for each, here in self.evidence.values() if not here]
        if self.stones.get(""):
            loose.append(DeviceEvidence("", BindingState.UNMATCHED, (), self.stones[""]))
        return of_person(device, *loose)

    def _write_log(self, step: Step) -> None:
        device = self.record().devices["d1"]
        answering = [each for each in device.sources if not set(each.apps) & {TIKTOK, NEWER_TIKTOK}]
        self.open += [each for each in device.sources if each not in answering and each not in self.open]
        self.open = [
            sighting
            for sighting in self.open
            if not any(
                _answers(each, sighting)
                for each in answering
                # In a conflict a claimant answers for itself only.
                if device.binding is BindingState.BOUND or _same_device(each, sighting)
            )
        ]


def _evidence(step: Step) -> SourceEvidence:
    at = NOW + step.minutes * MINUTE
    assert step.apps is not None
    return SourceEvidence(
        *step.place, step.scope, Naming.IDENTIFIER, at, DAY, step.apps, at, suspicious=step.suspicious
    )


def _same_device(one: SourceEvidence, other: SourceEvidence) -> bool:
    return (one.source_id, one.source_device) == (other.source_id, other.source_device)


def _answers(evidence: SourceEvidence, sighting: SourceEvidence) -> bool:
    """Facts §2.2 in words: the same source by anything newer that sees as much, another by a whole list."""
    if evidence.suspicious or evidence.full_at is None:
        return False
    if evidence.source_id == sighting.source_id:
        return evidence.generated_at > sighting.generated_at and sighting.scope in SHOWN[evidence.scope]
    return evidence.scope is Scope.DEVICE and evidence.full_at > sighting.generated_at + 10 * MINUTE


SEEN = Step(("mdm", "m1"), 20, (TIKTOK,))
GONE = Step(("mdm", "m1"), 20, None)
NARROW = Scope.MANAGED_ONLY
SHOWN = {
    Scope.DEVICE: {Scope.DEVICE, Scope.WORK_PROFILE, Scope.MANAGED_ONLY},
    Scope.WORK_PROFILE: {Scope.WORK_PROFILE, Scope.MANAGED_ONLY},
    Scope.MANAGED_ONLY: {Scope.MANAGED_ONLY},
}
"""What each view shows of the others."""


@thorough
@given(st.lists(steps, max_size=8))
@example([SEEN, GONE])
@example([SEEN, Step(("jamf", "j1"), 0, (TIKTOK,)), GONE, Step(("jamf", "j1"), 5, ())])
@example([SEEN, GONE, Step(("jamf", "j1"), 30, (TIKTOK,), NARROW), Step(("jamf", "j1"), 31, (), NARROW)])
@example([SEEN, Step(("mdm", "m1"), 30, (TIKTOK,), NARROW), Step(("mdm", "m1"), 31, (), NARROW)])
def test_a_sighting_that_nothing_answered_is_an_open_hit(history: list[Step]) -> None:
    stored = History()
    for step in history:
        stored.take(step)
        hits = open_hits(stored.record().devices["d1"], INDEX)
        assert bool(hits) or not stored.open, stored.open


@thorough
@given(st.lists(steps, max_size=8))
def test_a_hit_is_gone_once_every_claimant_says_so(history: list[Step]) -> None:
    """The way out: a whole, newer list by each source that has the device clears what bound evidence can clear."""
    stored = History()
    for step in history:
        stored.take(step)
    for place in PLACES[1:]:
        stored.take(Step(place, 1000, None))
    stored.take(Step(PLACES[0], 2000, (MAIL,)))
    assert open_hits(stored.record().devices["d1"], INDEX) == ()
    assert not stored.stones.get("d1")
