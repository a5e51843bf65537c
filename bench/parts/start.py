"""Time from starting ``gatepost run`` to the first phone's answer, with an empty store and with a large one.

The phone connects as soon as the port is bound and sends its request; the answer comes from the mail server, so a
worker has judged by then. The store has been read by the machine before (its pages are in memory, if they fit).
"""

import asyncio
import contextlib
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.certificate import make_certificate
from bench.figures import Outcome, Spread, Table, spread
from bench.fleet import device_of, kept_fleet, login_of
from bench.gatepost import gatepost
from bench.machine import free_ports, on_core
from bench.mailbox import mailbox_process
from bench.options import Options
from bench.phones import FOLDER_SYNC, request_of

WITHIN_SECONDS = 60.0


def measure(options: Options) -> Outcome:
    """A row for each store."""
    outcome, rows = Outcome(), []
    with on_core(None), mailbox_process() as mailbox:
        for devices in (0, options.devices):
            times = [_start(mailbox, devices) for _ in range(max(2, options.rounds - 1))]
            verdict, ready = (spread(each) for each in zip(*times, strict=True))
            rows.append((f"{devices:,}", verdict.text(), ready.text()))
            outcome.raw += [
                {"part": "start", "devices": devices, "verdict": one, "ready": other} for one, other in times
            ]
            if devices:
                outcome.measured["start/seconds"] = _worst(verdict)
    columns = ("devices in the store", "s to the first verdict", "s to ready")
    outcome.show(Table("Start", columns, rows))
    return outcome


def _worst(found: Spread) -> float:
    return found.most


def _start(mailbox: str, devices: int) -> tuple[float, float]:
    """Seconds to the first verdict, and to ready."""
    with TemporaryDirectory(prefix="gatepost-bench-") as name:
        directory = Path(name)
        certificate = make_certificate(directory)
        environment = {}
        if devices:
            environment["GATEPOST_STORAGE__URL"] = f"sqlite:///{kept_fleet(devices)}"
        (port,) = free_ports(1)
        began = time.perf_counter()
        phone = _FirstPhone(port, began)
        starting = gatepost(None, directory / "var", mailbox, certificate, environment=environment, port=port)
        with phone, starting:
            ready = time.perf_counter() - began
            return phone.waited(), ready


class _FirstPhone:
    """A child process of a few lines that asks from the beginning: this one is busy with starting."""

    def __init__(self, port: int, began: float) -> None:
        self._port = port
        self._began = began

    def __enter__(self) -> "_FirstPhone":
        self._read, write = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            with contextlib.suppress(BaseException):
                uvloop.run(self._ask(write))
            os._exit(0)
        os.close(write)
        return self

    async def _ask(self, write: int) -> None:
        request = request_of(login_of(1), device_of(1), "FolderSync", FOLDER_SYNC)
        async with asyncio.timeout(WITHIN_SECONDS):
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    await asyncio.sleep(0.002)
                    continue
                writer.write(request)
                with contextlib.suppress(OSError):
                    if (await reader.read(12)) == b"HTTP/1.1 200":
                        os.write(write, str(time.perf_counter() - self._began).encode())
                        return
                writer.close()
                await asyncio.sleep(0.002)

    def waited(self) -> float:
        """Seconds from the beginning to its answer."""
        said = os.read(self._read, 64)
        if not said:
            raise SystemExit("no phone was served after the start")
        return float(said)

    def __exit__(self, *error: object) -> None:
        os.close(self._read)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, 9)
        os.waitpid(self._child, 0)
