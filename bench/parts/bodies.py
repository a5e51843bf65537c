"""CPU time per GB of bodies, up (SendMail) and down (ItemOperations), of 16 KB and 10 MB, plain and TLS, side by side.

Octets down are those that wrk got, octets up those that the mail server took.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product

import httpx

from bench.figures import Outcome, Table, interleaved, ratios, spread
from bench.line_up import NAMES, Site, Target, site
from bench.loads import wrk
from bench.loads.wrk import Load, Round
from bench.machine import LOAD_CORE, free_ports, need, on_core, python_child
from bench.options import Options

COMPARED = tuple(name for name in NAMES if name not in ("mitmproxy", "nginx-map-auth"))
"""Bodies go through nginx in the same way whomever it asks; mitmproxy is a hundred times slower than the others."""
PEOPLE = 200
SIZES = {"16 KB": (16_384, 64), "10 MB": (10_000_000, 8)}
"""Octets, and connections at once."""
_SEND_MAIL = bytes.fromhex("03016a00001545")
_ITEM_OPERATIONS = bytes.fromhex("03016a00001445460101")


@dataclass(frozen=True, slots=True)
class Moved:
    """One round: octets and what they cost."""

    octets: int
    cpu: float
    seconds: float

    @property
    def per_gb(self) -> float:
        """CPU seconds per 10^9 octets."""
        return self.cpu / self.octets * 1e9


def measure(options: Options) -> Outcome:
    """Each combination in interleaved rounds."""
    need("wrk", "taskset")
    (mail,) = free_ports(1)
    outcome = Outcome()
    with on_core(LOAD_CORE), site(PEOPLE, mail) as place:
        place.stack.enter_context(python_child(LOAD_CORE, "bench.loads.bodies_server", str(mail)))
        targets = place.start_all(options.targets or COMPARED)
        rounds = max(1, options.rounds // 2)
        for size, way, scheme in product(SIZES, ("down", "up"), options.schemes or ("plain", "tls")):
            load = _load(place, size, way)
            results = interleaved(
                targets,
                rounds,
                lambda target, load=load: _one(target, load, scheme, way, mail, options.seconds),  # type: ignore[misc]  # noqa: B023
            )
            outcome.show(_table(f"Bodies: {size} {way}, {scheme}", results))
            outcome.raw += [
                {"part": "bodies", "size": size, "way": way, "scheme": scheme, "target": target.name, **asdict(each)}
                for target, those in results.items()
                for each in those
            ]
    return outcome


def _load(place: Site, size: str, way: str) -> Load:
    octets, connections = SIZES[size]
    path = place.directory / f"bodies-{size.replace(' ', '')}-{way}"
    numbers = [number for number in range(PEOPLE) if number % 10][:connections]
    if way == "up":
        body = _SEND_MAIL + b"m" * (octets - len(_SEND_MAIL))
        # One record is enough for wrk; ten megabytes for each phone would only fill memory.
        requests = [wrk.request(number, "SendMail", body) for number in numbers[: 1 if octets > 10**6 else None]]
    else:
        requests = [
            wrk.request(number, "ItemOperations", _ITEM_OPERATIONS).replace(b"3942919513", b"%d" % octets)
            for number in numbers
        ]
    return Load(wrk.write_records(path, requests), connections)


def _one(target: Target, load: Load, scheme: str, way: str, mail: int, seconds: float) -> Moved:
    before = _counted(mail)
    done: Round = wrk.run(load, target.url(scheme), target.pids, seconds)
    taken = _counted(mail) - before
    if done.refused:
        raise SystemExit(f"{target.title}, bodies {way}, {scheme}: {done}")
    return Moved(taken if way == "up" else done.octets, done.cpu, done.seconds)


def _counted(mail: int) -> int:
    counted: dict[str, int] = json.loads(httpx.get(f"http://127.0.0.1:{mail}/_count", timeout=30).text)
    return counted["taken"]


def _table(title: str, results: dict[Target, list[Moved]]) -> Table:
    beside: Sequence[Moved] = next((those for target, those in results.items() if target.name == "nginx-auth"), [])
    rows = []
    for target, those in results.items():
        cost = [each.per_gb for each in those]
        ratio = ratios([each.per_gb for each in beside], cost).text() if beside else ""
        speed = spread(each.octets / each.seconds / 1e6 for each in those).median
        rows.append((target.title, spread(cost).text(), ratio, f"{speed:,.0f}"))
    return Table(title, ("proxy", "CPU s/GB", "× nginx auth_request", "MB/s"), rows)
