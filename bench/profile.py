"""Where the microseconds of a request go: a running worker under load, looked at by perf and by py-spy.

``python -m bench.profile`` (``--own``, ``--scheme tls``, ``--connections 8``, ``--outcome refused``). perf samples the
worker's CPU clock with call chains: what the kernel does is told apart by the system call it is done for, the rest by
library and, within the interpreter, by what the function is for. py-spy samples the same worker in another run for the
Python function that is running, and whose call it is part of. Shares of samples are turned into microseconds by the
CPU time per request that the kernel accounts to the worker while nobody looks. Written to bench/results/profile.txt.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.figures import Table, rendered
from bench.line_up import Site, Target, site
from bench.loads import wrk
from bench.machine import LOAD_CORE, Missing, free_ports, need, on_core, raise_open_files
from bench.options import Options
from bench.parts.requests import ANSWER_OCTETS, Cell, into_memory, load_of
from bench.proxies.nginx import mail_server

RESULTS = Path(__file__).resolve().parent / "results"
PER_SECOND = 997
"""Samples; no divisor of what timers use."""
PYTHON_PER_SECOND = 400
ROWS = 30
_ENTRY = re.compile(r"(?:__x64_sys_|__arm64_sys_|__do_sys_|__sys_|ksys_|do_sys_|do_)(\w+)")
"""The kernel's function for a system call, right inside of ``do_syscall_64`` or what it is called elsewhere."""
_CALLS = {
    "kernel: send": ("sendto", "sendmsg", "write", "writev"),
    "kernel: receive": ("recvfrom", "recvmsg", "read", "readv"),
    "kernel: wait for sockets": ("epoll_wait", "epoll_pwait", "epoll_ctl"),
    "kernel: look at an unused connection": ("poll", "ppoll", "select"),
    "kernel: accept, close": (
        "accept4",
        "accept",
        "close",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "connect",
        "socket",
    ),
}
_KERNEL = {call: name for name, calls in _CALLS.items() for call in calls}
_INTERPRETER = (
    ("interpreter: running code", r"_PyEval_EvalFrame|_PyEval_Vector|_PyFunction_Vectorcall|vectorcall|PyObject_Call"),
    ("interpreter: regular expressions", r"^sre_|^_?sre|match_|state_|_validate|pattern_"),
    (
        "interpreter: memory",
        r"[Mm]alloc|[Ff]ree|dealloc|gc_|visit_|subtract_refs|_PyObject_New|NewReference|PyType_Gen",
    ),
    ("interpreter: look-ups", r"dict|[Hh]ash|lookup|GetAttr|getattro|set_contains|descr|_PyType_Lookup|LookupAttr"),
    ("interpreter: text and octets", r"unicode|Unicode|bytes|Bytes|str_|ascii|utf8|memoryview|PyBuffer|long_|Long"),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of a call chain."""

    symbol: str
    library: str


def chains(script: Iterable[str]) -> Iterator[list[Frame]]:
    """The call chains of ``perf script``, innermost frame first."""
    chain: list[Frame] = []
    for line in script:
        words = line.split(None, 1)
        if not line.startswith((" ", "\t")):
            if chain:
                yield chain
            chain = []
        elif len(words) == 2:
            symbol, _, library = words[1].strip().rpartition(" (")
            chain.append(Frame(symbol.partition("+")[0], library.rstrip(")")))
    if chain:
        yield chain


def kind_of(chain: Sequence[Frame]) -> str:
    """What a sample was spent on."""
    innermost = chain[0]
    if innermost.library.startswith("[kernel") or innermost.library.endswith((".ko", "[kernel.kallsyms]")):
        return _kernel_kind(chain)
    name = innermost.library.rpartition("/")[2]
    if name.startswith("loop.") or "uvloop" in innermost.library:
        return "uvloop and libuv"
    if "python" in name:
        for kind, pattern in _INTERPRETER:
            if re.search(pattern, innermost.symbol):
                return kind
        return "interpreter: other"
    if name.startswith(("libc.", "libc-", "libpthread", "ld-")):
        return "libc"
    if name.startswith(("libssl", "libcrypto", "_ssl")):
        return "OpenSSL"
    return f"library: {name}" if name and not name.startswith("[") else "other"


def _kernel_kind(chain: Sequence[Frame]) -> str:
    """By the system call, or by what else the kernel was entered for."""
    for inner, outer in pairwise(chain):
        if outer.symbol.startswith(("do_syscall", "el0_svc", "invoke_syscall")):
            found = _ENTRY.match(inner.symbol)
            call = found[1] if found is not None else inner.symbol
            return _KERNEL.get(call, f"kernel: {call}")
        if "page_fault" in outer.symbol:
            return "kernel: page faults"
    if any("sysvec" in frame.symbol or "irq" in frame.symbol for frame in chain):
        return "kernel: interrupts"
    return "kernel: other"


@dataclass(slots=True)
class PythonShares:
    """Samples by Python function: in itself, and with all that it calls."""

    own: Counter[str]
    whole: Counter[str]
    total: int

    @classmethod
    def of(cls, folded: Iterable[str]) -> "PythonShares":
        """From py-spy's raw format: frames by semicolon, a count behind them."""
        shares = cls(Counter(), Counter(), 0)
        for line in folded:
            stack, _, count = line.rstrip().rpartition(" ")
            if not stack or not count.isdigit():
                continue
            frames = [_function(frame) for frame in stack.split(";")]
            shares.own[frames[-1]] += int(count)
            shares.total += int(count)
            for frame in set(frames):
                shares.whole[frame] += int(count)
        return shares


def _function(frame: str) -> str:
    """``name (file)`` without the line."""
    found = re.fullmatch(r"(.*) \((.*?)(?::\d+)?\)", frame)
    if found is None:
        return frame
    file = found[2].partition("gateway/")[2] or found[2].rpartition("/")[2]
    return f"{file} {found[1]}"


def table_of_kinds(kinds: Mapping[str, int], cpu_us: float) -> Table:
    """perf's samples as microseconds of a request."""
    total = sum(kinds.values())
    rows = [
        (name, f"{count / total:.1%}", f"{count / total * cpu_us:.2f}")
        for name, count in sorted(kinds.items(), key=lambda each: -each[1])
        if count / total >= 0.002
    ]
    return Table(f"The worker, {total:,} samples", ("what", "share", "µs per request"), rows)


def table_of_functions(shares: PythonShares, cpu_us: float) -> Table:
    """py-spy's samples; what the kernel and uvloop do for a function counts as its own."""
    rows = [
        (
            name,
            f"{count / shares.total * cpu_us:.2f}",
            f"{shares.whole[name] / shares.total * cpu_us:.2f}",
            f"{count / shares.total:.1%}",
        )
        for name, count in shares.own.most_common(ROWS)
    ]
    columns = ("function", "own µs", "with its calls µs", "own share")
    note = "The loop's own line holds all that uvloop and the kernel do outside of Python functions."
    return Table(f"Python functions, {shares.total:,} samples", columns, rows, note)


def profile(cell: Cell, options: Options) -> list[Table]:
    """Start the gateway, load it, and look at it twice."""
    need("wrk", "nginx", "perf", "taskset")
    (mail,) = free_ports(1)
    with on_core(LOAD_CORE), site(options.people, mail) as place:
        place.stack.enter_context(mail_server(LOAD_CORE, place.directory, mail, ANSWER_OCTETS))
        target = place.start("gatepost")
        into_memory([target], options.people)
        return _looked_at(cell, place, target, options)


def _looked_at(cell: Cell, place: Site, target: Target, options: Options) -> list[Table]:
    assert target.gateway is not None
    (worker,) = target.gateway.workers
    load, url = load_of(cell, place, options), target.url(cell.scheme)
    wrk.run(load, url, [worker], 2)
    alone = wrk.run(load, url, [worker], options.seconds, 1)
    everything = wrk.run(load, url, target.pids, options.seconds, 2)
    head = Table(
        f"Profile: {cell.title}",
        ("whose CPU time", "µs per request"),
        [("the worker", f"{alone.cpu_us:.2f}"), ("all processes of the gateway", f"{everything.cpu_us:.2f}")],
    )
    recorded = place.directory / "perf.data"
    perf = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(PER_SECOND), "-g", "-o", str(recorded)]
    _while_loaded([*perf, "-p", str(worker), "--", "sleep", f"{options.seconds:g}"], load, url, worker, options)
    script = ["perf", "script", "-i", str(recorded), "-F", "comm,ip,sym,dso"]
    said = subprocess.run(script, capture_output=True, text=True, check=True, errors="replace", timeout=300)
    kinds = Counter(kind_of(chain) for chain in chains(said.stdout.splitlines()))
    return [head, table_of_kinds(kinds, alone.cpu_us), *_python_table(place, load, url, worker, options, alone.cpu_us)]


def _python_table(place: Site, load: wrk.Load, url: str, worker: int, options: Options, cpu_us: float) -> list[Table]:
    spy = spy_program()
    folded = place.directory / "folded"
    words = [spy, "record", "-p", str(worker), "-d", f"{options.seconds:.0f}", "-r", str(PYTHON_PER_SECOND)]
    _while_loaded([*words, "-f", "raw", "-F", "--nonblocking", "-o", str(folded)], load, url, worker, options)
    return [table_of_functions(PythonShares.of(folded.read_text().splitlines()), cpu_us)]


def spy_program() -> str:
    """Where py-spy is. Raises ``Missing``."""
    spy = shutil.which("py-spy") or str(Path(sys.executable).with_name("py-spy"))
    if not Path(spy).exists():
        raise Missing("py-spy not installed: run bench/install.sh")
    return spy


def _while_loaded(words: Sequence[str], load: wrk.Load, url: str, worker: int, options: Options) -> None:
    looking = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wrk.run(load, url, [worker], options.seconds + 2, 3)
    _, said = looking.communicate(timeout=120)
    if looking.returncode:
        raise Missing(f"{words[0]} cannot look at the worker: {said.strip()[-300:]}")


def main() -> None:
    """Print and write the tables."""
    parser = argparse.ArgumentParser("python -m bench.profile", description=__doc__)
    parser.add_argument("--own", action="store_true", help="each connection is one phone")
    parser.add_argument("--scheme", choices=("plain", "tls"), default="plain")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--outcome", choices=("allowed", "refused", "mixed"), default="allowed")
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    raise_open_files()
    cell = Cell(args.scheme, args.connections, args.outcome, "own" if args.own else "spread")
    try:
        tables = profile(cell, Options(people=args.people, seconds=args.seconds))
    except Missing as error:
        raise SystemExit(str(error)) from None
    text = "\n".join(map(rendered, tables))
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "profile.txt").write_text(text)


if __name__ == "__main__":
    main()
