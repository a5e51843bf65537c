"""wrk as the load: files of requests, and one round of it with the CPU time that a target took meanwhile."""

import base64
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.fleet import login_of
from bench.machine import LOAD_CORE, cpu_seconds

SCRIPT = Path(__file__).with_name("eas_load.lua")
OWN = 8
"""Different requests of a phone that repeats its own."""
_SYNC = b"\x03\x01\x6a\x00\x45\x5c\x4f\x4b\x03"
_FOLDER_SYNC = bytes.fromhex("03016a00000756520330000101")


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk is to send, and how."""

    records: Path
    connections: int
    own: bool = False
    """Each connection is one phone."""
    fresh: Path | None = None
    fresh_every: int = 0
    """Every so many requests one is from ``fresh``, whose requests are each sent once."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of wrk against one target."""

    requests: int
    seconds: float
    octets: int
    """Of all answers."""
    refused: int
    """Answers with a status of 400 and more."""
    errors: int
    p50_us: float
    p99_us: float
    cpu: float
    """Seconds that the target used."""

    @property
    def cpu_us(self) -> float:
        """CPU time per request, in microseconds."""
        return self.cpu / self.requests * 1e6

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def request(number: int, command: str, body: bytes, version: str = "14.1") -> bytes:
    """A request of a phone with a head of about 500 octets."""
    login = login_of(number)
    secret = base64.b64encode(f"{login}:secret".encode()).decode()
    return (
        f"POST /Microsoft-Server-ActiveSync?Cmd={command}&User={login}&DeviceId=PHONE{number:027}&DeviceType=Android "
        f"HTTP/1.1\r\nHost: mail.corp.example\r\nAuthorization: Basic {secret}\r\nMS-ASProtocolVersion: {version}\r\n"
        "X-MS-PolicyKey: 3942919513\r\nConnection: keep-alive\r\n"
        "User-Agent: Android-Mail/2026.10.04.684921846.Release\r\nAccept: */*\r\nAccept-Language: en-us\r\n"
        f"Content-Type: application/vnd.ms-sync.wbxml\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def sync(number: int, key: int = 5, version: str = "14.1") -> bytes:
    """A Sync with 200 octets of body; ``key`` stands for the SyncKey, which changes from Sync to Sync."""
    return request(number, "Sync", _SYNC + b"%d" % (key % 10) * 182 + b"\0" + b"\1" * 8, version)


def own_requests(number: int) -> list[bytes]:
    """What one phone repeats: Syncs, each with another key, and a FolderSync."""
    return [*(sync(number, key) for key in range(1, OWN)), request(number, "FolderSync", _FOLDER_SYNC)]


def write_records(path: Path, requests: Iterable[bytes]) -> Path:
    """The file that ``eas_load.lua`` reads."""
    with path.open("wb") as file:
        for each in requests:
            file.write(b"%08d" % len(each) + each)
    return path


def run(load: Load, url: str, pids: Sequence[int], seconds: float, began_at: int = 0) -> Round:
    """One round. ``began_at``: how many rounds' requests were sent already, so that the next begin elsewhere."""
    threads = load.connections if load.own else 1
    environment = {
        **os.environ,
        "RECORDS": str(load.records),
        "SHAPE": "own" if load.own else "spread",
        "OWN": str(OWN),
        "FROM": str(began_at * 104_729),
    }
    if load.fresh is not None:
        environment |= {
            "FRESH_RECORDS": str(load.fresh),
            "FRESH_EVERY": str(load.fresh_every),
            "FRESH_FROM": str(began_at),
        }
    argv = ["taskset", "-c", str(LOAD_CORE), "wrk", f"-t{threads}", f"-c{load.connections}", f"-d{seconds:g}s"]
    before = cpu_seconds(pids)
    done = subprocess.run(
        [*argv, "--latency", "--timeout", "30s", "-s", str(SCRIPT), url],
        capture_output=True,
        text=True,
        env=environment,
        timeout=seconds + 120,
        check=False,
    )
    used = cpu_seconds(pids) - before
    words = next((line.split() for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if words is None:
        raise SystemExit(f"wrk against {url}: {done.stdout[-500:]}{done.stderr[-500:]}")
    requests, micros, octets, refused, errors = map(int, words[1:6])
    if not requests:
        raise SystemExit(f"wrk against {url}: no answer\n{done.stdout}")
    return Round(requests, micros / 1e6, octets, refused, errors, float(words[6]), float(words[7]), used)
