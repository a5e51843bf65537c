"""A PostgreSQL of a test's own: a cluster in a temporary directory, on a unix socket and, where asked for, a free port.

PostgreSQL does not run as root: there it runs as the user ``postgres`` that its package brings.
"""

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

PATIENCE_SECONDS = 60.0
OWNER = "postgres"
ROLE = "gatepost"
PASSWORD = "s3cr:t@/?#"
"""With every character that a URL must escape."""
QUICK = {"fsync": "off", "full_page_writes": "off"}
"""For tests that cut no power."""


def programs() -> Path | None:
    """The directory of the newest PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


def missing() -> str:
    """Why there is no server here; empty when there is one."""
    return "" if programs() else "not installed: postgresql (make servers)"


def _as_owner() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    # When this process dies, the server ends at once.
    return ("setpriv", "--pdeathsig", "QUIT", "--reuid", OWNER, "--regid", OWNER, "--init-groups", "--")


class PostgresServer:
    """A cluster, and the server on it while it runs. Every role of it but ``ROLE`` may do all, by the socket."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None, *, network: bool = False) -> None:
        self.directory = directory
        self.port = _free_port()
        self.network = network
        self.settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        found = programs()
        assert found is not None
        self._programs = found
        if os.geteuid() == 0:
            shutil.chown(directory, OWNER, OWNER)
        directory.chmod(0o755)

    @property
    def cluster(self) -> Path:
        """The data directory."""
        return self.directory / "cluster"

    @property
    def log(self) -> str:
        """What the server said."""
        return (self.directory / "log").read_text(errors="replace")

    def create(self) -> None:
        """Make the cluster, with a role for Gatepost."""
        self._run("initdb", "-D", str(self.cluster), "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        rows = ["local all all trust", f"hostssl all {ROLE} 127.0.0.1/32 scram-sha-256"]
        rows.append(f"hostnossl all {ROLE} 127.0.0.1/32 scram-sha-256")
        rows.append("local replication all trust")
        (self.cluster / "pg_hba.conf").write_text("\n".join(rows) + "\n")

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        said = {
            "listen_addresses": "127.0.0.1" if self.network else "",
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            "max_wal_senders": "4",
            "timezone": "UTC",
            **self.settings,
        }
        words = [word for name, value in said.items() for word in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as output:
            self._process = subprocess.Popen(
                (*_as_owner(), str(self._programs / "postgres"), "-D", str(self.cluster), *words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < give_up_at:
            if self._process.poll() is not None:
                raise AssertionError(f"postgres ended with {self._process.returncode}: {self.log[-2000:]}")
            with suppress(subprocess.CalledProcessError):
                self.sql("SELECT 1")
                return
            time.sleep(0.02)
        raise AssertionError(f"postgres does not answer: {self.log[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it; SIGINT lets nobody finish, SIGQUIT is a crash. SIGKILL would leave its children: see ``crash``."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise

    def crash(self) -> None:
        """End all of it without a word to anybody, as a loss of power does."""
        process, self._process = self._process, None
        assert process is not None
        # Each of them has a session of its own.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (process.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        while any(_lives(int(pid)) for pid in children):
            time.sleep(0.01)

    def restart(self) -> None:
        """End it as an operator does, and start it again."""
        self.stop()
        self.start()

    def pause(self, *, on: bool) -> None:
        """Let no process of it run, or let them go on."""
        assert self._process is not None
        pid = self._process.pid
        for each in (pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP if on else signal.SIGCONT)

    def sql(self, statement: str, database: str = "postgres", user: str = OWNER) -> str:
        """Run a statement by the socket; what it gives, a line each. Raises ``CalledProcessError``."""
        return self._psql([statement], database, user)

    def _psql(self, statements: Sequence[str], database: str, user: str) -> str:
        words = [word for each in statements for word in ("-c", each)]
        psql = (str(self._programs / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        done = subprocess.run(
            (*psql, "-h", str(self.directory), "-p", str(self.port), "-U", user, "-d", database, *words),
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=True,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory)},
        )
        return done.stdout.decode().strip()

    def database(self, name: str, template: str = "template0") -> str:
        """Make a database that belongs to Gatepost's role, as docs/operating.md says; its URL by the socket."""
        if ROLE not in self.sql("SELECT rolname FROM pg_roles").split():
            self.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        self.sql(f"CREATE DATABASE {name} OWNER {ROLE} ENCODING 'UTF8' TEMPLATE {template}")
        return self.url(name)

    def emptied(self, name: str) -> str:
        """The same, but one that is there already is emptied, whoever uses it."""
        if name not in self.sql("SELECT datname FROM pg_database").split():
            return self.database(name)
        ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname ="
        self.sql(f"{ending} current_database()", name)
        self.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner", name)
        return self.url(name)

    def copied(self, original: str, name: str, then: str) -> str:
        """A copy of a database nobody uses, in place of what had that name, whoever used it; ``then`` is done in it."""
        dropped = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
        made = f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {original}"
        self._psql([dropped, made, f"\\connect {name}", then], "postgres", OWNER)
        return self.url(name)

    def url(self, database: str) -> str:
        """By the unix socket."""
        return f"postgresql://{ROLE}@/{database}?host={self.directory}&port={self.port}"

    def network_url(self, database: str, parameters: str = "sslmode=disable", password: str = PASSWORD) -> str:
        """Over the network."""
        return f"postgresql://{ROLE}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}?{parameters}"

    def bring(self, file: Path) -> None:
        """Put a copy of a file into the cluster, for the server's eyes only."""
        copy = self.cluster / file.name
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(copy, OWNER, OWNER)

    def follow(self, standby: "PostgresServer") -> None:
        """Make ``standby`` a copy that follows this server; it is not started."""
        source = f"host={self.directory} port={self.port} user={OWNER}"
        self._run("pg_basebackup", "-D", str(standby.cluster), "-d", source, "-R", "-c", "fast", "-X", "stream")

    async def until(self, statement: str, answer: str, database: str = "postgres") -> None:
        """Wait until a statement gives an answer."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await asyncio.to_thread(self.sql, statement, database) != answer:  # noqa: ASYNC110  (another process)
                await asyncio.sleep(0.01)

    def promote(self) -> None:
        """Make a standby the primary; returns when it takes writes."""
        self._run("pg_ctl", "promote", "-D", str(self.cluster), "-w")

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            (*_as_owner(), str(self._programs / program), *words),
            cwd=self.directory,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{program} ended with {done.returncode}: {done.stdout!r} {done.stderr!r}")


@contextmanager
def postgres_server(settings: Mapping[str, str] | None = None, *, network: bool = False) -> Iterator[PostgresServer]:
    """A server that runs; it is ended after, and its directory removed."""
    directory = Path(tempfile.mkdtemp(prefix="gatepost-pg-"))
    server = PostgresServer(directory, settings, network=network)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(directory, ignore_errors=True)


def _lives(pid: int) -> bool:
    """Whether it is there and is not merely unburied."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _free_port() -> int:
    """Free now, below those that the kernel gives to outgoing connections."""
    while True:
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
            return int(sock.getsockname()[1])
