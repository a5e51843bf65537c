"""The command behind ``make fuzz``: targets, cases, a table; exit status 1 when something was found."""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.fuzz.campaign import ENGINES, Outcome, has_coverage, run
from tests.fuzz.names import HERE, NAMES, kept

_TEACHES = """\
Each target reads random inputs with our code and with others' (llhttp, h11, libwbxml, ...) and complains where the two
understand something else, where ours raises an error that is not its own, and where it takes too long.

Half of the inputs come from a grammar, the others from changing inputs that are known: those of tests/fuzz/corpus, and
those by which the coverage engine (atheris) came to new lines of code. The same seed gives the same cases, except that
the coverage engine's depend on its version.

A finding is made smaller and saved in tests/fuzz/findings. To see it again:
  make fuzz ARGS="--replay tests/fuzz/findings/heads.0123456789ab"
Turn it into an ordinary test of the module, repair, and run again. After that, --keep chooses anew which few inputs are
kept in tests/fuzz/corpus; commit them.

examples:
  make fuzz                                                     every target, 100,000 cases each
  make fuzz ARGS="--target heads --cases 1000000 --seed 7"      one target, longer
  make fuzz ARGS="--target documents --engine coverage"         only atheris
"""


_CHANGED = 3000
"""Inputs of the mutations among which ``--keep`` chooses, beside those of the coverage engine."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make fuzz ARGS=...",
        description="Differential fuzzing of everything that reads octets from outside.",
        epilog=_TEACHES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--cases", type=_positive, default=100_000, help="for each target (default: 100000)")
    parser.add_argument("--seed", type=_positive, default=1, help="another seed, other cases (default: 1)")
    parser.add_argument(
        "--engine", choices=("both", *ENGINES), default="both", help="how inputs are made (default: both)"
    )
    parser.add_argument("--jobs", type=_positive, default=1, help="targets at the same time (default: 1)")
    parser.add_argument("--keep", action="store_true", help="then choose anew what is kept in tests/fuzz/corpus")
    parser.add_argument("--replay", type=Path, action="append", metavar="FILE", help="check only this saved input")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main() -> int:
    """Run what is asked for; the exit status."""
    asked = _arguments()
    if asked.replay:
        return _replay(asked.replay)
    console = Console()
    engines = ENGINES if asked.engine == "both" else (asked.engine,)
    if "coverage" in engines and not has_coverage():
        console.print(
            "atheris is not installed (it needs CPython 3.11 to 3.14 on Linux x86-64): mutations and grammars only"
        )
        engines = ("mutation",)
    names = asked.target or list(NAMES)
    outcomes = _run_all(console, names, engines, asked)
    console.print(_table(outcomes))
    if asked.keep:
        _keep(console, outcomes, asked.seed)
    return _findings(console, outcomes)


def _run_all(console: Console, names: list[str], engines: tuple[str, ...], asked: argparse.Namespace) -> list[Outcome]:
    columns = TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(asked.jobs) as workers:
        tasks = {name: progress.add_task(name, total=asked.cases) for name in names}

        def one(name: str) -> Outcome:
            outcome = run(
                name, engines, asked.cases, asked.seed, lambda of, done: progress.update(tasks[of], completed=done)
            )
            if not console.is_terminal:
                numbers = " ".join(f"{number:,.0f}" for number in _numbers(outcome))
                console.print(f"{name}: {numbers}", highlight=False)
            return outcome

        return list(workers.map(one, names))


def _table(outcomes: list[Outcome]) -> Table:
    columns = "cases", "wall s", "cpu s", "cases/cpu s", "accepted", "only we refuse", "findings"
    table = Table("target", *columns, box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for each in outcomes:
        table.add_row(each.target, *(f"{number:,.0f}" for number in _numbers(each)))
    return table


def _numbers(each: Outcome) -> tuple[float, ...]:
    rate = each.cases / max(each.processor_seconds, 0.001)
    stricter = sum(each.stricter.values())
    return each.cases, each.seconds, each.processor_seconds, rate, each.accepted, stricter, len(each.findings)


def _findings(console: Console, outcomes: list[Outcome]) -> int:
    for each in outcomes:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in each.stricter.most_common(12))
        if reasons:
            console.print(f"only we refuse, {each.target}: {reasons}", markup=False, highlight=False)
    for each in outcomes:
        for path, what in each.findings:
            console.print(f"\n{each.target}: {what[:600]}", markup=False, highlight=False)
            shown = path.relative_to(HERE.parents[1])
            console.print(f'  make fuzz ARGS="--replay {shown}"', markup=False, highlight=False)
    return int(any(each.findings for each in outcomes))


def _keep(console: Console, outcomes: list[Outcome], seed: int) -> None:
    from tests.fuzz.keeping import chosen, write
    from tests.fuzz.tally import inputs
    from tests.fuzz.targets import TARGETS

    for each in outcomes:
        target, known = TARGETS[each.target], kept(each.target)
        few = chosen(target, [*known, *each.reached, *islice(inputs(target, known, seed), _CHANGED)])
        write(target, few)
        console.print(f"{each.target}: {len(few)} inputs kept, {sum(map(len, few)):,} octets")


def _replay(paths: list[Path]) -> int:
    from tests.fuzz.targets import TARGETS

    found = False
    for path in paths:
        name = path.parent.name if path.parent.name in TARGETS else path.name.partition(".")[0]
        if name not in TARGETS:
            print(f"{path}: the file's name or its folder's does not begin with a target: {', '.join(TARGETS)}")
            return 2
        from tests.fuzz.tally import judged

        verdict, _, what = judged(TARGETS[name], path.read_bytes())
        print(f"{path}: {verdict or what}")
        found |= not verdict
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
