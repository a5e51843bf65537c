"""Rounds of the mail proxies: what was done at what cost, and the tables of it, beside nginx's mail proxy."""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.figures import Outcome, Table, ratios, spread
from bench.loads.mail_client import WrongAnswer
from bench.mail_line_up import MailTarget
from bench.options import Options

Rounds = Mapping[MailTarget, Sequence["Done"]]


@dataclass(frozen=True, slots=True)
class Done:
    """One round: how much was done, and what it cost."""

    count: float
    cpu: float
    seconds: float

    @property
    def each(self) -> float:
        """CPU seconds of one."""
        return self.cpu / self.count


@dataclass(frozen=True, slots=True)
class Shown:
    """How rounds are shown."""

    title: str
    cost: str
    """Of one, with the unit that ``scale`` makes of seconds."""
    rate: str
    scale: float
    per_core: float
    """What the rate counts in."""
    digits: int = 1
    note: str = ""


def table_of(shown: Shown, rounds: Rounds, beside: str) -> Table:
    """A row per target; the ratio is what a CPU second does, round by round, to what it does at ``beside``."""
    measure = next((those for target, those in rounds.items() if target.name == beside), None)
    rows = []
    for target, those in rounds.items():
        cost = [each.each for each in those]
        ratio = "" if measure is None else ratios([each.each for each in measure], cost).text()
        rate = 1 / spread(cost).median / shown.per_core
        seen = spread(each.count / each.seconds / shown.per_core for each in those).median
        scaled = spread(each * shown.scale for each in cost).text(shown.digits)
        rows.append((target.title, scaled, ratio, f"{rate:,.0f}", f"{seen:,.0f}"))
    columns = ("proxy", shown.cost, f"× {beside}", f"{shown.rate} of a core", f"{shown.rate} seen")
    return Table(shown.title, columns, rows, shown.note)


def keep(outcome: Outcome, name: str, rounds: Rounds, beside: Sequence[str] = ()) -> None:
    """For the file of all rounds, and the medians that budgets know: ``name`` and behind it whom it is beside."""
    for target, those in rounds.items():
        outcome.raw += [{"part": name, "target": target.name, **asdict(each)} for each in those]
    costs = {target.name: [each.each for each in those] for target, those in rounds.items()}
    if "gatepost" in costs:
        for other in beside:
            if other in costs:
                outcome.measured[f"{name}/{other}"] = ratios(costs[other], costs["gatepost"]).median


async def together(target: MailTarget, working: Iterable[Awaitable[None]]) -> None:
    """All at once; what goes wrong with one of them ends the run."""
    try:
        await asyncio.gather(*working)
    except (WrongAnswer, OSError) as error:
        raise SystemExit(f"{target.title}: {type(error).__name__} {error}") from None


async def until_quiet(target: MailTarget, seconds: float = 60.0) -> None:
    """Until its processes, whichever there are, use no more than a twentieth of a core: the gateway has a pulse."""
    calm, until = 0, time.monotonic() + seconds
    while calm < 3 and time.monotonic() < until:
        before = target.cpu()
        await asyncio.sleep(0.2)
        calm = calm + 1 if target.cpu() - before < 0.01 else 0


def schemes_of(options: Options) -> Sequence[str]:
    """Plain and TLS, or what was asked for."""
    return options.schemes or ("plain", "tls")


def port_of(target: MailTarget, protocol: str, scheme: str) -> int:
    """Where a protocol is spoken, plain or by TLS first."""
    return target.ports[protocol if scheme == "plain" else f"{protocol}s"]
