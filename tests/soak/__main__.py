"""``python -m tests.soak --hours 1``: the whole gateway under a mixed load, with a model that knows what is right.

Writes ``soak.csv``, ``soak.svg`` and ``soak.txt`` into ``--out``, and ends with a verdict: exit 1 if it is not good.
"""

import argparse
import asyncio
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import uvloop

from tests.soak.plot import write_plot
from tests.soak.sampling import Sampler
from tests.soak.site import Site, Size, site
from tests.soak.verdict import Finding, verdict

OUT = Path(__file__).resolve().parents[2] / "bench" / "results" / "soak"
REHEARSAL = 0.1
"""Share of the time before the first rest, between the two below."""
REHEARSAL_SECONDS = (3.0, 600.0)


async def soak(seconds: float, size: Size, out: Path, every_seconds: float = 5.0) -> list[Finding]:
    """One soak into the directory ``out``; what was found."""
    with tempfile.TemporaryDirectory(prefix="gatepost-soak-") as name, (out / "soak.csv").open("w") as file:
        async with site(Path(name), size) as place:
            sampler = Sampler(place.gateway, place.server, place.tally, file)
            await _lived_through(place, sampler, seconds, every_seconds)
            return _written(place, sampler, out)


async def _lived_through(place: Site, sampler: Sampler, seconds: float, every_seconds: float) -> None:
    least, most = REHEARSAL_SECONDS
    rehearsal = min(most, max(least, seconds * REHEARSAL))
    until = time.monotonic() + seconds
    for part in (rehearsal, None):
        place.begin()
        sampling = asyncio.create_task(sampler.keep_sampling(every_seconds))
        await asyncio.sleep(max(1.0, until - time.monotonic()) if part is None else part)
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        await sampler.sample()
        await place.rest()
        await sampler.sample(phase=1.0)


def _written(place: Site, sampler: Sampler, out: Path) -> list[Finding]:
    tally = place.tally
    judge = place.judge
    stale = judge.longest_stale, judge.longest_after_crowd
    found = verdict(sampler.rows, tally.errors, tally.wrong, len(sampler.faults), stale)
    size, hours = place.size, sampler.rows[-1]["seconds"] / 3600
    title = f"{hours:.2f} h, {size.phones} phones that ask, {size.waiting} that wait, 2 workers"
    write_plot(out / "soak.svg", sampler.rows, f"Gatepost under load: {title}")
    lines = [title, ""]
    lines += [f"{'ok ' if each.good else 'BAD'}  {each.what}: {each.found}" for each in found]
    lines += ["", "what clients had: " + ", ".join(f"{name} {count:,}" for name, count in tally.answers.most_common())]
    lines += ["log: " + ", ".join(f"{name} {count:,}" for name, count in sampler.events.most_common())]
    lines += ["mail server: " + ", ".join(f"{name} {count:,}" for name, count in place.server.received.most_common())]
    lines += ["", "the longest after a refusal was due:"]
    lines += [f"{stale * 1000:.0f} ms: {what}" for stale, what in sorted(judge.stalest, reverse=True)]
    lines += [*tally.texts, *(str(fault) for fault in sampler.faults)]
    (out / "soak.txt").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))
    return found


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser("python -m tests.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--minutes", type=float, help="in place of hours")
    parser.add_argument("--phones", type=int, default=Size().phones, help="that ask at random pauses")
    parser.add_argument("--waiting", type=int, default=Size().waiting, help="that wait for mail")
    parser.add_argument("--reports", type=float, default=Size().reports_per_second, help="per second")
    parser.add_argument("--seed", type=int, default=Size().seed)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Ended from outside it ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seconds = args.minutes * 60 if args.minutes is not None else args.hours * 3600
    args.out.mkdir(parents=True, exist_ok=True)
    found = uvloop.run(soak(seconds, Size(args.phones, args.waiting, args.reports, args.seed), args.out))
    good = all(each.good for each in found)
    print(f"\n{'good' if good else 'NOT GOOD'}; {args.out}/soak.csv, soak.svg, soak.txt")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
