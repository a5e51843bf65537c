"""Two PostgreSQL servers, the second a synchronous standby of the first, each reached by a wire of its own."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.faults.wire import Wire
from tests.support.postgres_server import PASSWORD, ROLE, PostgresServer

SETTINGS = {"synchronous_standby_names": "*", "wal_receiver_status_interval": "1", "hot_standby": "on"}
"""What is acknowledged is on both, so that nothing is lost when the second takes over."""


class PostgresPair:
    """Which of the two takes writes changes with each failover."""

    def __init__(self, first: PostgresServer, second: PostgresServer) -> None:
        self.servers = [first, second]
        self.wires = [Wire(each.port + 1, each.port) for each in self.servers]
        self.primary = 0

    @property
    def server(self) -> PostgresServer:
        """The one that takes writes."""
        return self.servers[self.primary]

    @property
    def wire(self) -> Wire:
        """The way to it."""
        return self.wires[self.primary]

    @property
    def url(self) -> str:
        """Names both."""
        hosts = ",".join(f"127.0.0.1:{wire.socket}" for wire in self.wires)
        return f"postgresql://{ROLE}:{quote(PASSWORD, safe='')}@{hosts}/faults?sslmode=disable"

    def fail_over(self) -> None:
        """The primary crashes, and the standby takes its place."""
        self.server.crash()
        self.primary = 1 - self.primary
        self.server.promote()

    def make_standby(self) -> None:
        """The one that crashed becomes the standby of the other."""
        other = self.servers[1 - self.primary]
        shutil.rmtree(other.cluster)
        self.server.follow(other)
        other.start()


@contextmanager
def postgres_pair() -> Iterator[PostgresPair]:
    """Both run; they are ended after, and their directories removed."""
    places = [Path(tempfile.mkdtemp(prefix="gatepost-pg-")) for _ in range(2)]
    first, second = (PostgresServer(place, SETTINGS, network=True) for place in places)
    try:
        first.settings["synchronous_standby_names"] = ""
        first.create()
        first.start()
        first.database("faults")
        first.follow(second)
        second.start()
        first.settings["synchronous_standby_names"] = "*"
        first.restart()
        yield PostgresPair(first, second)
    finally:
        for each in (first, second):
            each.stop(signal.SIGQUIT)
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
