"""CPU time per TLS handshake (1.3, P-256, full, no resumption), side by side. Clients hang up right after it."""

import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from bench.figures import Outcome, Table, interleaved, ratios, spread
from bench.line_up import Target, site
from bench.machine import LOAD_CORE, cpu_seconds, free_ports, on_core
from bench.options import Options

COMPARED = ("nginx", "haproxy", "aiohttp", "mitmproxy", "gatepost")
AT_ONCE = 8
PEOPLE = 100


@dataclass(frozen=True, slots=True)
class Shaken:
    """One round."""

    handshakes: int
    cpu: float

    @property
    def cpu_us(self) -> float:
        """Microseconds of one."""
        return self.cpu / self.handshakes * 1e6


def measure(options: Options) -> Outcome:
    """Interleaved rounds."""
    outcome = Outcome()
    (mail,) = free_ports(1)
    with on_core(LOAD_CORE), site(PEOPLE, mail) as place:
        targets = place.start_all(options.targets or COMPARED)
        context = place.certificate.client()
        _round(targets[0], context, 0.2)
        results = interleaved(targets, options.rounds, lambda target: _round(target, context, options.seconds))
    beside = next((those for target, those in results.items() if target.name == "nginx"), None)
    rows = []
    for target, those in results.items():
        cost = [each.cpu_us for each in those]
        ratio = ratios([each.cpu_us for each in beside], cost).text() if beside else ""
        rows.append((target.title, spread(cost).text(0), ratio, f"{1e6 / spread(cost).median:,.0f}"))
        outcome.raw += [{"part": "handshakes", "target": target.name, **asdict(each)} for each in those]
    outcome.show(Table("TLS handshakes", ("proxy", "CPU µs each", "× nginx", "per second of a core"), rows))
    return outcome


def _round(target: Target, context: ssl.SSLContext, seconds: float) -> Shaken:
    until = time.monotonic() + seconds

    def shake(_: int) -> int:
        done = 0
        while time.monotonic() < until:
            with (
                socket.create_connection(("127.0.0.1", target.secure), timeout=20) as plain,
                context.wrap_socket(plain, server_hostname="mail.corp.example"),
            ):
                done += 1
        return done

    before = cpu_seconds(target.pids)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        done = sum(threads.map(shake, range(AT_ONCE)))
    return Shaken(done, cpu_seconds(target.pids) - before)
