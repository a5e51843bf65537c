"""Where the microseconds of a login by IMAP, or the seconds of a gigabyte after it, go: a worker under perf and py-spy.

``python -m bench.mail_profile`` (``pop3``, ``--scheme tls``; ``"10 MB read"`` and the others of ``parts.mail``). As in
``profile``: shares of samples are turned into CPU time by what the kernel accounts to the worker while nobody looks.
For octets a microsecond is one of a kilobyte. Written to bench/results/mail_profile.txt.
"""

import argparse
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import uvloop

from bench.figures import Table, rendered
from bench.machine import LOAD_CORE, Missing, cpu_seconds, need, on_core, raise_open_files
from bench.mail_line_up import MailSite, MailTarget, mail_site
from bench.mail_rounds import Done
from bench.parts.mail import LOGINS, MESSAGES, logins, moved, warm_up
from bench.profile import (
    PER_SECOND,
    PYTHON_PER_SECOND,
    RESULTS,
    PythonShares,
    chains,
    kind_of,
    spy_program,
    table_of_functions,
    table_of_kinds,
)

PEOPLE = 300
OCTETS = 1_000
"""A microsecond each of these is a second of a gigabyte."""


def profile(what: str, scheme: str, seconds: float) -> list[Table]:
    """Start the gateway, load it, and look at it twice."""
    need("perf")
    with on_core(LOAD_CORE), mail_site(PEOPLE) as place:
        target = place.start("gatepost")
        warm_up(place, [target], what if what in LOGINS else "imap", scheme)
        return _looked_at(place, target, _load(place, target, what, scheme), seconds, 1 if what in LOGINS else OCTETS)


def _load(place: MailSite, target: MailTarget, what: str, scheme: str) -> Callable[[float], Done]:
    if what in LOGINS:
        return lambda seconds: logins(place, target, what, scheme, seconds)
    return lambda seconds: uvloop.run(moved(place, target, what, scheme, seconds))


def _looked_at(
    place: MailSite, target: MailTarget, load: Callable[[float], Done], seconds: float, unit: int
) -> list[Table]:
    assert target.gateway is not None
    (worker,) = target.gateway.workers
    before = cpu_seconds([worker])
    done = load(seconds)
    cpu_us = (cpu_seconds([worker]) - before) / done.count * unit * 1e6
    recorded, folded = place.directory / "perf.data", place.directory / "folded"
    perf = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(PER_SECOND), "-g", "-o", str(recorded)]
    _while_loaded([*perf, "-p", str(worker), "--", "sleep", f"{seconds:g}"], load, seconds)
    script = ["perf", "script", "-i", str(recorded), "-F", "comm,ip,sym,dso"]
    said = subprocess.run(script, capture_output=True, text=True, check=True, errors="replace", timeout=300)
    kinds = Counter(kind_of(chain) for chain in chains(said.stdout.splitlines()))
    spy = [spy_program(), "record", "-p", str(worker), "-d", f"{seconds:.0f}", "-r", str(PYTHON_PER_SECOND)]
    _while_loaded([*spy, "-f", "raw", "-F", "-o", str(folded)], load, seconds)
    # The threads of the pool wait for work, and py-spy takes some of them for busy.
    busy = [line for line in folded.read_text().splitlines() if ";_worker (" not in line]
    functions = PythonShares.of(busy)
    return [table_of_kinds(kinds, cpu_us), table_of_functions(functions, cpu_us)]


def _while_loaded(words: Sequence[str], load: Callable[[float], Done], seconds: float) -> None:
    looking = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    told: list[str] = []
    reading = threading.Thread(target=lambda: told.append(looking.communicate(timeout=120)[1]))
    reading.start()
    load(seconds + 2)
    reading.join()
    if looking.returncode:
        raise Missing(f"{words[0]} cannot look at the worker: {''.join(told).strip()[-300:]}")


def main() -> None:
    """Print and write the tables."""
    parser = argparse.ArgumentParser("python -m bench.mail_profile", description=__doc__)
    parser.add_argument("what", nargs="?", choices=(*LOGINS, *MESSAGES), default="imap")
    parser.add_argument("--scheme", choices=("plain", "tls"), default="plain")
    parser.add_argument("--seconds", type=float, default=6.0)
    args = parser.parse_args()
    raise_open_files()
    try:
        tables = profile(args.what, args.scheme, args.seconds)
    except Missing as error:
        raise SystemExit(str(error)) from None
    text = "\n".join((f"{args.what}, {args.scheme}\n", *map(rendered, tables)))
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "mail_profile.txt").write_text(text)


if __name__ == "__main__":
    main()
