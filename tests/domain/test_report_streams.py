"""Random streams of reports, late, repeated and in any order, against a small model of what must become of them.

The model is written from the rules of the fact sheet (§2.1, §2.2) and shares no code with what it checks: names of apps
and minutes on plain dictionaries.
"""

from dataclasses import dataclass, field, replace

from hypothesis import event, given
from hypothesis import strategies as st

from gateway.domain.bans import Ban, Matcher, MatcherKind
from gateway.domain.binding import InventoryFacts, PersonFacts, Pin, SeenDevice, assemble
from gateway.domain.inventory import (
    App,
    AppState,
    Inventory,
    InventoryReport,
    Outcome,
    Platform,
    ReportedApp,
    ReportKind,
    Scope,
    apply_report,
)
from gateway.domain.matching import compiled
from gateway.domain.posture import open_hits, sufficiency
from gateway.domain.verdict import Cause
from tests.support.evidence_strategies import DAY, HOUR, LOGIN, MINUTE, NOW, thorough

POOL = [f"com.example.app{number}" for number in range(12)]
TWICE = ["com.example.app0 2", "com.example.app3 2"]
"""Ids with a version: of each the pool has one without."""
BANNED = {"Zero": "com.example.app0", "Eleven": "com.example.app11"}
INDEX = compiled(Ban(name, (Matcher(MatcherKind.ID, app_id, Platform.ANDROID),)) for name, app_id in BANNED.items())
MAX_AGE = {"mdm": 4 * HOUR, "agent": DAY}


@dataclass(frozen=True, slots=True)
class Said:
    """A report in the words of the model: minutes before now (negative: ahead), apps with whether they are there."""

    source: str
    full: bool
    minutes_ago: int
    sequence: int
    base: int
    boot: str
    scope: Scope
    apps: tuple[tuple[str, bool], ...]

    def as_report(self) -> InventoryReport:
        return InventoryReport(
            self.source,
            "phone",
            ReportKind.FULL if self.full else ReportKind.DELTA,
            self.scope,
            NOW - self.minutes_ago * MINUTE,
            NOW,
            tuple(
                ReportedApp(app_of(name), AppState.INSTALLED if there else AppState.REMOVED)
                for name, there in self.apps
            ),
            self.sequence,
            None if self.full else self.base,
            self.boot,
        )


def app_of(name: str) -> App:
    app_id, _, version = name.partition(" ")
    return App(Platform.ANDROID, app_id, version=version)


# --- The model


@dataclass(slots=True)
class Known:
    """What one source is known to have said last."""

    minutes_ago: int
    sequence: int
    boot: str
    scope: Scope
    apps: dict[str, None]
    full_minutes_ago: int | None
    doubtful: bool


def has(known: Known, app_id: str) -> bool:
    return any(name.partition(" ")[0] == app_id for name in known.apps)


@dataclass(slots=True)
class Model:
    """The rules, on plain values."""

    limits: dict[str, Scope]
    sources: dict[str, Known] = field(default_factory=dict)

    def take(self, said: Said) -> str:
        known = self.sources.get(said.source)
        if said.minutes_ago < -5:
            return "future"
        if known and not self._is_newer(known, said):
            return "stale_ignored"
        scope = said.scope if said.scope in _UNDER[self.limits[said.source]] else self.limits[said.source]
        if not said.full:
            return self._take_delta(known, said, scope)
        present = {app_id: None for app_id, there in said.apps if there}
        if scope is Scope.DEVICE and not present and not known:
            self.sources[said.source] = Known(said.minutes_ago, said.sequence, said.boot, scope, {}, None, True)
            return "suspicious"
        count = sum(1 for _, there in said.apps if there)
        shrunk = known and known.scope is scope and len(known.apps) >= 10 and 5 * count < len(known.apps)
        if known and (shrunk or (scope is Scope.DEVICE and count == 0)):
            known.minutes_ago, known.sequence, known.boot = said.minutes_ago, said.sequence, said.boot
            known.apps, known.doubtful = present | known.apps, True
            return "suspicious"
        self.sources[said.source] = Known(
            said.minutes_ago, said.sequence, said.boot, scope, present, said.minutes_ago, False
        )
        return "applied"

    def _take_delta(self, known: Known | None, said: Said, scope: Scope) -> str:
        if known is None or known.sequence != said.base or known.boot != said.boot:
            return "gap"
        named = {app_id.partition(" ")[0] for app_id, _ in said.apps}
        copies = [app_id for app_id in known.apps if app_id.partition(" ")[0] in named]
        if len(named) < len(set(said.apps)) or len({app_id.partition(" ")[0] for app_id in copies}) < len(copies):
            return "gap"
        for app_id in copies:
            known.apps.pop(app_id)
        for app_id, there in said.apps:
            if there:
                known.apps[app_id] = None
            else:
                known.apps.pop(app_id, None)
        known.minutes_ago, known.sequence = said.minutes_ago, said.sequence
        known.scope = scope if scope in _UNDER[known.scope] else known.scope
        return "applied"

    @staticmethod
    def _is_newer(known: Known, said: Said) -> bool:
        if said.minutes_ago > known.minutes_ago:
            return False
        if said.minutes_ago == known.minutes_ago and said.sequence <= known.sequence:
            return False
        numbered = said.boot == known.boot and said.sequence and known.sequence
        return not numbered or said.sequence > known.sequence

    def open_bans(self) -> set[str]:
        """Bans with an app that some source shows and no other has seen to be gone, ten minutes later or more."""
        found = set()
        for name, banned in BANNED.items():
            for source, known in self.sources.items():
                if has(known, banned) and not any(
                    other != source
                    and not has(said, banned)
                    and said.scope is Scope.DEVICE
                    and not said.doubtful
                    and said.full_minutes_ago is not None
                    and said.full_minutes_ago < known.minutes_ago - 10
                    for other, said in self.sources.items()
                ):
                    found.add(name)
        return found

    def causes(self) -> set[Cause]:
        """Why the phone cannot be called clean; none where one source suffices."""
        lacks = []
        for source, known in self.sources.items():
            lack = set()
            if known.full_minutes_ago is None or known.doubtful:
                lack.add(Cause.MISSING)
            if known.scope is not Scope.DEVICE:
                lack.add(Cause.SCOPE)
            if known.full_minutes_ago is not None and known.full_minutes_ago * MINUTE >= MAX_AGE[source]:
                lack.add(Cause.STALE)
            lacks.append(lack)
        return set() if set() in lacks else set().union(*lacks)


_UNDER = {
    Scope.DEVICE: {Scope.DEVICE, Scope.WORK_PROFILE, Scope.MANAGED_ONLY},
    Scope.WORK_PROFILE: {Scope.WORK_PROFILE, Scope.MANAGED_ONLY},
    Scope.MANAGED_ONLY: {Scope.MANAGED_ONLY},
}

# --- Streams

scopes = st.sampled_from([Scope.DEVICE, Scope.DEVICE, Scope.DEVICE, Scope.WORK_PROFILE, Scope.MANAGED_ONLY])
app_lists = st.one_of(
    st.just([(app_id, True) for app_id in POOL]),
    st.just([(app_id, True) for app_id in POOL[1:11]]),
    st.just([(app_id, True) for app_id in [*POOL, *TWICE]]),
    st.lists(st.tuples(st.sampled_from([*POOL, *TWICE]), st.sampled_from([True, True, False])), max_size=4),
).map(tuple)
anything = st.builds(
    Said,
    st.sampled_from(["mdm", "agent"]),
    st.booleans(),
    st.sampled_from([-6, -5, 0, 9, 10, 11, 20, 21, 239, 240, 1440]),
    st.integers(0, 4),
    st.integers(0, 4),
    st.sampled_from(["", "", "b"]),
    scopes,
    app_lists,
)


@st.composite
def streams(draw: st.DrawFn) -> list[Said]:
    """Well-behaved chains of full lists and deltas beside anything at all, some of it repeated, in any order."""
    chain = []
    for source in draw(st.sampled_from([("mdm",), ("mdm", "agent")])):
        ages = sorted(
            draw(st.lists(st.sampled_from([0, 5, 10, 11, 30, 200, 300]), unique=True, max_size=5)), reverse=True
        )
        for number, age in enumerate(ages, 1):
            full = number == 1 or draw(st.booleans())
            chain.append(Said(source, full, age, number, number - 1, "", draw(scopes), draw(app_lists)))
    stream = [*chain, *draw(st.lists(anything, max_size=3))]
    if stream:
        stream += draw(st.lists(st.sampled_from(stream), max_size=3))
    # Half of the streams arrive in order, else deltas would never fit.
    return draw(st.permutations(stream)) if draw(st.booleans()) else stream


def run(stream: list[Said], limits: dict[str, Scope]) -> tuple[dict[str, Inventory], list[str]]:
    inventories: dict[str, Inventory] = {}
    outcomes = []
    for said in stream:
        result = apply_report(inventories.get(said.source), said.as_report(), limits[said.source], NOW)
        if result.inventory is not None:
            inventories[said.source] = result.inventory
        outcomes.append(result.outcome.value)
    return inventories, outcomes


both_limits = st.fixed_dictionaries({"mdm": scopes, "agent": scopes})
WHOLE = {"mdm": Scope.DEVICE, "agent": Scope.DEVICE}


@thorough
@given(streams(), both_limits)
def test_inventory_and_posture_are_the_model_s(stream: list[Said], limits: dict[str, Scope]) -> None:
    inventories, outcomes = run(stream, limits)
    model = Model(limits)
    assert outcomes == [model.take(said) for said in stream]
    for outcome in set(outcomes):
        event(outcome)
    assert set(inventories) == set(model.sources)
    for source, known in model.sources.items():
        found = inventories[source]
        assert {f"{app.id} {app.version}".rstrip() for app in found.apps} == set(known.apps)
        assert len(found.apps) == len(known.apps)
        assert (found.scope, found.suspicious, found.sequence) == (known.scope, known.doubtful, known.sequence)
        assert found.generated_at == NOW - known.minutes_ago * MINUTE
        full_at = None if known.full_minutes_ago is None else NOW - known.full_minutes_ago * MINUTE
        assert found.full_at == full_at
    if inventories:
        _compare_posture(inventories, model)


def _compare_posture(inventories: dict[str, Inventory], model: Model) -> None:
    facts = tuple(InventoryFacts(each, MAX_AGE[each.source_id]) for each in inventories.values())
    pins = tuple(Pin("d1", each.source_id, each.source_device, bound=True) for each in inventories.values())
    device = assemble(PersonFacts(LOGIN, True, (), frozenset(), (SeenDevice("d1", NOW),), facts, pins)).devices["d1"]
    assert {hit.ban.name for hit in open_hits(device, INDEX)} == model.open_bans()
    assert set(sufficiency(device, NOW).causes) == model.causes()


@thorough
@given(streams(), st.data())
def test_late_and_repeated_reports_change_nothing(stream: list[Said], data: st.DataObject) -> None:
    before, _ = run(stream, WHOLE)
    taken = [said for said in stream if said.source in before]
    again = data.draw(st.lists(st.sampled_from(taken), max_size=4)) if taken else []
    for said in again:
        current = before[said.source]
        not_newer = (NOW - said.minutes_ago * MINUTE, said.sequence) <= (current.generated_at, current.sequence)
        result = apply_report(current, said.as_report(), Scope.DEVICE, NOW)
        if not_newer:
            assert result.outcome in (Outcome.STALE, Outcome.FUTURE)
            assert result.inventory is current


full_lists = st.lists(
    st.builds(
        Said,
        *(st.just("mdm"), st.just(True), st.integers(0, 300), st.just(0), st.just(0), st.just("")),
        scopes,
        st.lists(st.sampled_from(POOL), min_size=1, max_size=9, unique=True).map(
            lambda ids: tuple((app_id, True) for app_id in ids)
        ),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda said: said.minutes_ago,
)


@thorough
@given(full_lists, st.booleans(), st.data())
def test_full_lists_end_in_the_same_state_in_any_order(lists: list[Said], numbered: bool, data: st.DataObject) -> None:
    if numbered:
        by_time = sorted(lists, key=lambda said: -said.minutes_ago)
        lists = [replace(said, sequence=number) for number, said in enumerate(by_time, 1)]
    newest = min(lists, key=lambda said: said.minutes_ago)
    expected, _ = run([newest], WHOLE)
    found, _ = run(data.draw(st.permutations(lists)), WHOLE)
    assert found == expected
