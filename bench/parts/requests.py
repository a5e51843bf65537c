"""CPU time per ActiveSync request, side by side: schemes, connections, outcomes, shapes of load, misses.

Without options a chosen set of cells is measured, each one step away from the first; options give every combination of
what they name. Answers are checked by what they are: wrk counts statuses and octets, and a target that lets through
whom it should refuse, or refuses whom it should not, ends the run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product

import uvloop

from bench.figures import Outcome, Spread, Table, interleaved, ratios, spread
from bench.fleet import holds_banned
from bench.line_up import NAMES, Site, Target, site
from bench.loads import wrk
from bench.loads.wrk import Load, Round
from bench.machine import LOAD_CORE, free_ports, need, on_core, wait_for_quiet
from bench.options import Options
from bench.phones import seen_once
from bench.proxies.nginx import mail_server

ANSWER_OCTETS = 1400
WARM_SECONDS = 6.0
WARM_TIMES = 2
"""Each phone of the spread load comes so often before it is measured: what is promised is for those that come again."""
FRESH_PEOPLE = 60_000
"""People beyond the fleet in memory, each asked for once."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    scheme: str = "plain"
    connections: int = 64
    outcome: str = "allowed"
    shape: str = "spread"
    misses: int = 0
    """Per cent of the requests from people whose record is not in memory."""

    @property
    def title(self) -> str:
        """For tables."""
        missing = f", {self.misses} % not in memory" if self.misses else ""
        who = "any phone" if self.shape == "spread" else "each connection one phone"
        return f"{self.scheme}, {self.connections} connections, {self.outcome}, {who}{missing}"


FIRST = Cell()
CHOSEN = (
    FIRST,
    replace(FIRST, shape="own"),
    replace(FIRST, scheme="tls"),
    replace(FIRST, scheme="tls", shape="own"),
    replace(FIRST, connections=8),
    replace(FIRST, connections=512),
    replace(FIRST, outcome="refused"),
    replace(FIRST, outcome="refused403"),
    replace(FIRST, outcome="mixed"),
    replace(FIRST, misses=1),
    replace(FIRST, misses=10),
)
PROMISED = CHOSEN[:4]
ALONE = ("gatepost", "nginx-auth")
"""Where only the gateway itself can differ, these two are enough."""
SLOW = ("aiohttp", "mitmproxy")
"""Several times slower: measured in the first cells only, unless named."""


def cells(options: Options) -> tuple[Cell, ...]:
    """What is to be measured."""
    named = (options.schemes, options.connections, options.outcomes, options.shapes, options.misses)
    if not any(named):
        return CHOSEN
    axes = (
        options.schemes or ("plain",),
        options.connections or (64,),
        options.outcomes or ("allowed",),
        options.shapes or ("spread",),
        options.misses or (0,),
    )
    # A refused phone that asks again and again is held back: only many of them together are a load.
    every = (Cell(*each) for each in product(*axes))
    return tuple(cell for cell in every if cell.shape == "spread" or (cell.outcome == "allowed" and not cell.misses))


def measure(options: Options) -> Outcome:
    """All cells."""
    need("wrk", "nginx", "taskset")
    (mail,) = free_ports(1)
    wanted = cells(options)
    outcome = Outcome()
    fresh = min(FRESH_PEOPLE, options.people) if any(cell.misses for cell in wanted) else 0
    with on_core(LOAD_CORE), site(options.people + fresh, mail) as place:
        place.stack.enter_context(mail_server(LOAD_CORE, place.directory, mail, ANSWER_OCTETS))
        targets = place.start_all(options.targets or NAMES)
        into_memory(targets, options.people)
        for cell in wanted:
            _measure_cell(cell, place, targets, options, outcome)
        if place.skipped:
            rows = [(name, why) for name, why in place.skipped.items()]
            outcome.show(Table("Not measured", ("what", "why"), rows))
    return outcome


def into_memory(targets: Sequence[Target], people: int) -> None:
    """Have each of these people served once: records and credentials are remembered."""
    for target in targets:
        if target.gateway is not None:
            uvloop.run(seen_once(target.gateway.http, range(people)))
            wait_for_quiet(target.pids)


def _measure_cell(cell: Cell, place: Site, targets: Sequence[Target], options: Options, outcome: Outcome) -> None:
    load = load_of(cell, place, options)
    taking_part = [target for target in targets if _takes_part(target, cell, options)]
    sent: dict[str, int] = {}

    def one(target: Target, seconds: float) -> Round:
        measured = wrk.run(load, target.url(cell.scheme), target.pids, seconds, sent.get(target.name, 0))
        sent[target.name] = sent.get(target.name, 0) + measured.requests // max(1, load.fresh_every) + 1
        check(measured, cell, target)
        return measured

    phones = 1 if cell.shape == "own" else options.people
    for target in taking_part:
        came = 0
        while came < (WARM_TIMES * phones if target.gateway is not None else 1):
            came += one(target, WARM_SECONDS).requests
        if target.gateway is not None:
            # Who was seen for the first time is still being written down.
            wait_for_quiet(target.pids)
    # The cells that promises are made for have all rounds, the others half of them.
    count = options.rounds if cell in PROMISED or cells(options) != CHOSEN else max(2, options.rounds // 2)
    rounds = interleaved(taking_part, count, lambda target: one(target, options.seconds))
    outcome.show(table_of(cell, rounds))
    outcome.measured.update(_for_budgets(cell, rounds))
    outcome.raw += [
        {"part": "requests", **asdict(cell), "target": target.name, "cpu_us": each.cpu_us, **asdict(each)}
        for target, those in rounds.items()
        for each in those
    ]


def _takes_part(target: Target, cell: Cell, options: Options) -> bool:
    if not target.judges and cell.outcome != "allowed":
        return False
    if cell.misses:
        return target.name in ALONE
    usual = cell.connections == FIRST.connections and cell.outcome == FIRST.outcome
    return usual or target.name not in SLOW or target.name in options.targets


def load_of(cell: Cell, place: Site, options: Options) -> Load:
    """The files of requests for a cell, written once."""
    people = options.people
    own = cell.shape == "own"
    path = place.directory / f"records-{cell.outcome}-{cell.connections if own else 'spread'}"
    if not path.exists():
        numbers = list(_numbers(cell.outcome, people))
        if own:
            chosen = [numbers[each * 7919 % len(numbers)] for each in range(cell.connections)]
            wrk.write_records(path, (each for number in chosen for each in wrk.own_requests(number)))
        else:
            version = "12.1" if cell.outcome == "refused403" else "14.1"
            wrk.write_records(path, (wrk.sync(number, version=version) for number in numbers))
    if not cell.misses:
        return Load(path, cell.connections, own)
    # Each share of misses has people of its own: who was asked for is in memory.
    half = (place.people - people) // 2
    first = people + (half if cell.misses >= 10 else 0)
    fresh = place.directory / f"fresh-{cell.misses}"
    clean = (number for number in range(first, first + half) if not holds_banned(number))
    wrk.write_records(fresh, map(wrk.sync, clean))
    return Load(path, cell.connections, own, fresh, 100 // cell.misses)


def _numbers(outcome: str, people: int) -> Iterator[int]:
    for number in range(people):
        if outcome == "mixed" or holds_banned(number) == outcome.startswith("refused"):
            yield number


def check(measured: Round, cell: Cell, target: Target) -> None:
    """Whether a target answered as it should."""
    passed = (measured.octets / measured.requests - 250) / ANSWER_OCTETS
    refused = measured.refused / measured.requests
    wanted = {"allowed": 0.0, "mixed": 0.1}.get(cell.outcome, 1.0)
    # A refusal is a status, or with Gatepost a short document inside a 200.
    found = refused if target.name != "gatepost" or cell.outcome == "refused403" else 1.0 - min(1.0, passed)
    if measured.errors or abs(found - wanted) > 0.12:
        raise SystemExit(f"{target.title}, {cell.title}: wrong answers: {measured}")


def table_of(cell: Cell, rounds: dict[Target, list[Round]]) -> Table:
    """A row per target; the ratio is requests per CPU second, beside nginx asking the uvloop server."""
    beside = next((those for target, those in rounds.items() if target.name == "nginx-auth"), None)
    rows = []
    for target, those in rounds.items():
        cpu = [each.cpu_us for each in those]
        ratio = "" if beside is None else ratios([each.cpu_us for each in beside], cpu).text()
        rows.append(
            (
                target.title,
                spread(cpu).text(1),
                ratio,
                f"{_median(each.per_second for each in those):,.0f}",
                f"{_median(each.p50_us for each in those) / 1000:.2f}",
                f"{_median(each.p99_us for each in those) / 1000:.2f}",
            )
        )
    columns = ("proxy", "CPU µs/request", "× nginx auth_request", "requests/s", "p50 ms", "p99 ms")
    return Table(f"Requests: {cell.title}", columns, rows)


def _median(values: Iterator[float]) -> float:
    return spread(values).median


def _for_budgets(cell: Cell, rounds: dict[Target, list[Round]]) -> dict[str, float]:
    cpu = {target.name: [each.cpu_us for each in those] for target, those in rounds.items()}
    if "gatepost" not in cpu or cell != Cell(cell.scheme, shape=cell.shape):
        return {}
    names = {"auth": "nginx-auth", "map_auth": "nginx-map-auth", "haproxy": "haproxy"}
    found: dict[str, Spread] = {key: ratios(cpu[name], cpu["gatepost"]) for key, name in names.items() if name in cpu}
    return {f"{cell.scheme}/{cell.shape}/{key}": each.median for key, each in found.items()}
