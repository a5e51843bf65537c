"""CPU per ActiveSync request beside nginx with auth_request, and memory per parked Ping.

``python -m bench.first_figures``. The proxy under test (nginx with its authorization server, or Gatepost's HTTP front)
has core 0 for itself, load and mail server have core 1. Rounds alternate, so that the machine's moods hit both; what
counts is the ratio of CPU times within a pair of rounds, read from the kernel's accounts (schedstat). The mix: POST
Sync, a head of about 500 octets, 200 of body, 1.5 KB of answer, 100,000 people with a login and a phone each.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.fleet import device_of, fill, login_of
from bench.parked import Phone, Tally, connect, mailbox
from tests.support.running import configuration

HERE = Path(__file__).resolve().parent
PROXY_CORE, LOAD_CORE = "0", "1"
WARM_SECONDS = 2
QUIET_WITHIN_SECONDS = 300.0
QUIET_CPU = 0.05
"""Seconds of CPU time per second, over all processes."""

NGINX = """
worker_processes 1; daemon off; pid {dir}/{name}.pid; error_log {dir}/{name}.log warn;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
        client_body_temp_path {dir}/{name}-body; proxy_temp_path {dir}/{name}-proxy;
        fastcgi_temp_path {dir}/{name}-fcgi; uwsgi_temp_path {dir}/{name}-uwsgi; scgi_temp_path {dir}/{name}-scgi;
{http} }}
"""
MAIL_SERVER = """
    server {{ listen 127.0.0.1:{port} backlog=4096;
             location / {{ default_type application/vnd.ms-sync.wbxml; return 200 "{body}"; }} }}
"""
AUTH_REQUEST = """
    upstream mail {{ server 127.0.0.1:{mail}; keepalive 128; keepalive_requests 1000000000; }}
    upstream auth {{ server unix:{dir}/auth.sock; keepalive 128; keepalive_requests 1000000000; }}
    server {{ listen 127.0.0.1:{port} backlog=4096; client_body_buffer_size 16k;
      location / {{ auth_request /_auth; proxy_pass http://mail; proxy_http_version 1.1;
                   proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr; }}
      location = /_auth {{ internal; proxy_pass http://auth; proxy_http_version 1.1; proxy_set_header Connection "";
                          proxy_pass_request_body off; proxy_set_header Content-Length "";
                          proxy_set_header X-Original-URI $request_uri; proxy_pass_request_headers off;
                          proxy_method GET; rewrite ^ $request_uri break; }} }}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """Something under test."""

    name: str
    port: int
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the load."""

    requests: int
    cpu_us: float
    per_second: float
    p50_us: float
    p99_us: float


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of processes with all their threads, in nanosecond steps."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def children_of(pid: int) -> tuple[int, ...]:
    """A process and its children."""
    return (pid, *(int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def resident_kb(pid: int) -> int:
    """Resident memory that is the process's own."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])
    raise RuntimeError("no smaps_rollup")


@contextmanager
def running(core: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A child on one core, killed at the end."""
    child = subprocess.Popen(
        ["taskset", "-c", core, *argv], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(40)


@contextmanager
def authorizer(directory: Path, people: int) -> Iterator[int]:
    """The authorization server behind nginx: its process id."""
    path = directory / "auth.sock"
    with running(PROXY_CORE, sys.executable, "-m", "bench.authorizer", str(path), str(people)) as child:
        assert child.stdout is not None
        child.stdout.readline()
        path.chmod(0o777)
        yield child.pid


@contextmanager
def nginx(core: str, directory: Path, name: str, http: str) -> Iterator[tuple[int, ...]]:
    """An nginx with that configuration: its process ids."""
    config = directory / f"{name}.conf"
    config.write_text(NGINX.format(dir=directory, name=name, http=http))
    with running(core, "nginx", "-c", str(config), "-e", str(directory / f"{name}.log")) as child:
        wait_until(lambda: len(children_of(child.pid)) > 1)
        yield children_of(child.pid)


@contextmanager
def gatepost(directory: Path, upstream: str) -> Iterator[tuple[tuple[int, ...], int]]:
    """The whole of Gatepost as it is shipped, all its processes on one core: their ids, and its port."""
    data_dir, config = directory / "var", directory / "gatepost.toml"
    config.write_text(configuration(data_dir, upstream))
    os.environ.update({f"GATEPOST_HTTP__{name}": "30000" for name in OPENED})
    with running(PROXY_CORE, sys.executable, "-m", "gateway.cli.main", "run", "--config", str(config)) as child:
        try:
            wait_until((data_dir / "listening.json").exists)
            port = json.loads((data_dir / "listening.json").read_text())["http"][0].rpartition(":")[2]
            yield descendants(child.pid), int(port)
        finally:
            for name in OPENED:
                del os.environ[f"GATEPOST_HTTP__{name}"]


def worker_among(pids: Sequence[int]) -> int:
    """The one worker of a gateway."""
    (pid,) = (each for each in pids if Path(f"/proc/{each}/cmdline").read_text().endswith("worker\0"))
    return pid


OPENED = ("MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_ADDRESS", "UPSTREAM_CONNECTIONS")
"""Limits that loads from a single address would meet."""


def descendants(pid: int) -> tuple[int, ...]:
    """A process with all below it."""
    below = [each for child in children_of(pid)[1:] for each in descendants(child)]
    return (pid, *below)


def wait_until(condition: object) -> None:
    """Ask again and again, for ten seconds at most."""
    assert callable(condition)
    until = time.monotonic() + 30
    while not condition():
        if time.monotonic() > until:
            raise SystemExit("a child did not start")
        time.sleep(0.02)


def load(target: Target, seconds: int, connections: int, people: int) -> Round:
    """One round of wrk."""
    before = cpu_seconds(target.pids)
    argv = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    out = subprocess.run(
        [*argv, "-s", str(HERE / "eas_load.lua"), f"http://127.0.0.1:{target.port}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PHONES": str(people)},
    ).stdout
    used = cpu_seconds(target.pids) - before
    words = next(line for line in out.splitlines() if line.startswith("RESULT ")).split()
    requests, micros, refused, errors = (int(word) for word in words[1:5])
    if refused or errors or not requests:
        raise SystemExit(f"{target.name}: {refused} answers were no 200, {errors} errors\n{out}")
    return Round(requests, used / requests * 1e6, requests / micros * 1e6, float(words[5]), float(words[6]))


def wait_for_quiet(pids: Sequence[int]) -> None:
    """Until next to nothing is done: what phones said of themselves is written down, records are in the cache."""
    until = time.monotonic() + QUIET_WITHIN_SECONDS
    calm = 0
    while calm < 3:
        before = cpu_seconds(pids)
        time.sleep(1.0)
        calm = calm + 1 if cpu_seconds(pids) - before < QUIET_CPU else 0
        if time.monotonic() > until:
            raise SystemExit("the gateway does not come to rest")


def measure_requests(args: argparse.Namespace) -> list[dict[str, object]]:
    """Interleaved rounds of both."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepost-bench-")))
        directory.chmod(0o755)
        mail, ours = free_ports(2)
        answer = MAIL_SERVER.format(port=mail, body="m" * 1400)
        stack.enter_context(nginx(LOAD_CORE, directory, "mail", answer))
        auth_pid = stack.enter_context(authorizer(directory, args.people))
        http = AUTH_REQUEST.format(dir=directory, mail=mail, port=ours)
        nginx_pids = stack.enter_context(nginx(PROXY_CORE, directory, "front", http))
        fill(directory / "var", args.people)
        pids, front_port = stack.enter_context(gatepost(directory, f"http://127.0.0.1:{mail}"))
        targets = [
            Target("nginx auth_request", ours, (*nginx_pids, auth_pid)),
            Target("gatepost", front_port, pids),
        ]
        uvloop.run(seen_once(f"http://127.0.0.1:{front_port}", args.people))
        for target in targets:
            load(target, WARM_SECONDS, args.connections, args.people)
            wait_for_quiet(target.pids)
        rounds: dict[str, list[Round]] = {target.name: [] for target in targets}
        for number in range(args.rounds):
            for target in targets if number % 2 else reversed(targets):
                rounds[target.name].append(load(target, args.seconds, args.connections, args.people))
    return described(rounds)


def described(rounds: dict[str, list[Round]]) -> list[dict[str, object]]:
    """Medians, and the ratio pair by pair."""
    rows: list[dict[str, object]] = [
        {
            "what": name,
            "cpu_us_per_request": round(statistics.median(each.cpu_us for each in those), 2),
            "requests_per_second": round(statistics.median(each.per_second for each in those)),
            "p50_us": round(statistics.median(each.p50_us for each in those)),
            "p99_us": round(statistics.median(each.p99_us for each in those)),
        }
        for name, those in rounds.items()
    ]
    theirs, ours = rounds.values()
    ratios = sorted(their.cpu_us / our.cpu_us for their, our in zip(theirs, ours, strict=True))
    rows.append(
        {
            "what": "requests per CPU second, gatepost / nginx auth_request",
            "median": round(statistics.median(ratios), 3),
            "lowest": round(ratios[0], 3),
            "highest": round(ratios[-1], 3),
            "rounds": len(ratios),
        }
    )
    return rows


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment; nginx cannot choose one itself."""
    import socket

    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]


async def seen_once(address: str, count: int) -> None:
    """Have every phone's record in memory, and every phone known."""
    room = asyncio.Semaphore(64)

    async def one(number: int) -> None:
        async with room:
            answered = asyncio.get_running_loop().create_future()
            phone = await connect(address, login_of(number), device_of(number), lambda phone: answered.set_result(None))
            phone.ask("FolderSync", FOLDER_SYNC)
            await answered
            phone.close()

    await asyncio.gather(*(one(number) for number in range(count)))


FOLDER_SYNC = bytes.fromhex("03016a00000756520330000101")
"""SyncKey 0 ([MS-ASCMD] 2.2.1.5)."""


async def measure_parked(args: argparse.Namespace, directory: Path) -> list[dict[str, object]]:
    """Memory of a front before and after so many Pings are parked."""
    tally = Tally()
    server, url = await mailbox(tally)
    with (
        gatepost(directory, url) as (pids, port),
    ):
        pid = worker_among(pids)
        address = f"http://127.0.0.1:{port}"
        await seen_once(address, args.parked)
        await asyncio.to_thread(wait_for_quiet, pids)
        before = resident_kb(pid)
        phones: list[Phone] = []
        reached = tally.reaches(args.parked)
        for number in range(args.parked):
            phone = await connect(address, login_of(number), device_of(number), lambda phone: None)
            phone.ask()
            phones.append(phone)
        await asyncio.wait_for(reached, 120)
        await asyncio.to_thread(wait_for_quiet, pids)
        after = resident_kb(pid)
        for phone in phones:
            phone.close()
    server.close()
    return [
        {
            "what": "parked Pings",
            "parked": args.parked,
            "base_mb": round(before / 1024, 1),
            "kb_per_parked": round((after - before) / args.parked, 2),
        }
    ]


def main() -> None:
    """Print one row per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--parked", type=int, default=8_000)
    parser.add_argument("--only", choices=("requests", "parked"))
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name in ("wrk", "nginx", "taskset"):
        if shutil.which(name) is None and args.only != "parked":
            raise SystemExit(f"{name} is needed: apt-get install nginx-light wrk util-linux")
    rows = [] if args.only == "parked" else measure_requests(args)
    if args.only != "requests":
        with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as name:
            fill(Path(name) / "var", args.parked)
            rows += uvloop.run(measure_parked(args, Path(name)))
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
