"""``python -m bench [PART …]``: runs the parts, prints their tables, then what was promised and what was measured.

Everything that is printed is written to ``bench/results/bench.txt`` too, each round to ``bench/results/bench.json``.
"""

import argparse
import importlib
import json
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.budgets import judged
from bench.figures import Outcome, rendered
from bench.line_up import NAMES
from bench.machine import ALL_CORES, Missing, raise_open_files
from bench.mail_line_up import MAIL_NAMES
from bench.options import Options

PARTS = {
    "requests": "CPU per ActiveSync request, side by side",
    "bodies": "CPU per GB of bodies, side by side",
    "handshakes": "CPU per TLS handshake, side by side",
    "parked": "memory and CPU of waiting phones, side by side",
    "people": "memory of people's records in a worker",
    "cut": "from a report to the cut, with 1 to 4 workers",
    "mail": "CPU per IMAP and POP3 login and per GB after it, memory of IDLE, side by side",
    "mailcut": "from a report to the end of a mail session",
    "smtp": "CPU per submitted message, beside Postfix",
    "askers": "answers to nginx, HAProxy, Dovecot, Postfix, and what asking adds at nginx, Traefik, Envoy",
    "policy": "from an edit of the policy to the last of 10,000 cuts",
    "reports": "reports per second",
    "start": "from the start to the first verdict",
    "impact": "what a change would do to the whole fleet",
}
RESULTS = Path(__file__).resolve().parent / "results"
KNOWN = {
    "targets": (*NAMES, *MAIL_NAMES),
    "schemes": ("plain", "tls"),
    "outcomes": ("allowed", "refused", "refused403", "mixed"),
    "shapes": ("spread", "own"),
}
QUICK = {
    "rounds": 2,
    "seconds": 1.0,
    "people": 2_000,
    "parked": 200,
    "devices": 20_000,
    "reports": 300,
}


def options_of(words: list[str]) -> tuple[list[str], Options]:
    """The parts and options of a command line."""
    listed = "\n".join(f"  {name:12} {text}" for name, text in PARTS.items())
    parser = argparse.ArgumentParser(
        "python -m bench", description=f"{__doc__}\n\nparts:\n{listed}", formatter_class=argparse.RawTextHelpFormatter
    )
    defaults = Options()
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all of them")
    parser.add_argument("--quick", action="store_true", help="small and short: shows that it works, no figures")
    parser.add_argument("--targets", default="", help=f"some of {','.join((*NAMES, *MAIL_NAMES[:-1]))} …")
    parser.add_argument("--rounds", type=int, help=f"interleaved rounds (default {defaults.rounds})")
    parser.add_argument("--seconds", type=float, help=f"of a round (default {defaults.seconds:g})")
    parser.add_argument("--people", type=int, help=f"in memory (default {defaults.people})")
    parser.add_argument("--schemes", default="", help="plain,tls")
    parser.add_argument("--connections", default="", help="8,64,512")
    parser.add_argument("--outcomes", default="", help="allowed,refused,refused403,mixed")
    parser.add_argument("--shapes", default="", help="spread,own")
    parser.add_argument("--misses", default="", help="per cent of people not in memory: 0,1,10")
    parser.add_argument("--spread", dest="shapes", action="store_const", const="spread", help="--shapes spread")
    parser.add_argument("--own", dest="shapes", action="store_const", const="own", help="--shapes own")
    parser.add_argument("--parked", type=int, help=f"waiting phones (default {defaults.parked})")
    parser.add_argument("--workers", default="", help="for cut: 1,2,3,4; for mailcut the most of them")
    parser.add_argument("--devices", type=int, help=f"for start (default {defaults.devices})")
    parser.add_argument("--reports", type=int, help=f"for reports (default {defaults.reports})")
    parser.add_argument("--postgresql", default="", metavar="URL", help="an empty database, for reports")
    args = parser.parse_args(words)
    unknown = [name for name in args.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part is called {unknown[0]}; there are {', '.join(PARTS)}")
    options = _options(args)
    for name, known in KNOWN.items():
        for each in getattr(options, name):
            if each not in known:
                parser.error(f"--{name}: {each} is none of {', '.join(known)}")
    return args.parts or list(PARTS), options


def _options(args: argparse.Namespace) -> Options:
    given: dict[str, object] = dict(QUICK) if args.quick else {}
    for name in ("rounds", "seconds", "people", "parked", "devices", "reports"):
        if getattr(args, name) is not None:
            given[name] = getattr(args, name)
    for name in ("targets", "schemes", "outcomes", "shapes"):
        given[name] = tuple(filter(None, getattr(args, name).split(",")))
    for name in ("connections", "misses", "workers"):
        numbers = tuple(int(each) for each in getattr(args, name).split(",") if each)
        if numbers or name != "workers":
            given[name] = numbers
    return Options(quick=args.quick, postgresql=args.postgresql, **given)  # type: ignore[arg-type]


def machine() -> str:
    """What it ran on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    kernel = platform.release().partition("-")[0]
    return f"{model}, {len(ALL_CORES)} cores; Linux {kernel}; Python {platform.python_version()}"


def run(parts: list[str], options: Options) -> Outcome:
    """Run them one after the other."""
    whole = Outcome()
    for name in parts:
        began = time.monotonic()
        print(f"== {name}: {PARTS[name]}", file=sys.stderr, flush=True)
        try:
            found: Outcome = importlib.import_module(f"bench.parts.{name}").measure(options)
        except Missing as error:
            print(f"== {name} left out: {error}", file=sys.stderr, flush=True)
            continue
        print(f"== {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        whole.tables += found.tables
        whole.measured |= found.measured
        whole.raw += found.raw
    return whole


def main() -> None:
    """Run what was asked for."""
    parts, options = options_of(sys.argv[1:])
    if len(ALL_CORES) < 2:
        raise SystemExit("two cores are needed: one for the proxy, one for load and mail server")
    raise_open_files()
    head = f"{time.strftime('%Y-%m-%d %H:%M')}  {machine()}{'  QUICK: these figures mean nothing' * options.quick}\n"
    print(head)
    whole = run(parts, options)
    whole.show(judged(whole.measured))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.txt").write_text("\n".join((head, *map(rendered, whole.tables))))
    document = {"machine": machine(), "quick": options.quick, "measured": whole.measured, "rounds": whole.raw}
    (RESULTS / "bench.json").write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
