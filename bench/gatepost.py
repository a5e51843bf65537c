"""The gateway under test, whole and as it is shipped: supervisor, embedded Valkey, control, workers, metrics and log.

Nothing differs from the defaults but ports and certificate, and the limits that a load from a single address meets.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bench.certificate import Certificate
from bench.fleet import BANNED
from bench.machine import child, descendants, wait_until
from bench.second_person import approve, change_of

OPENED = {
    **{
        f"GATEPOST_{part}__{name}": "30000"
        for part in ("HTTP", "IMAP", "POP3", "SMTP")
        for name in ("MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_ADDRESS")
    },
    "GATEPOST_HTTP__UPSTREAM_CONNECTIONS": "30000",
}

INDEX_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Gatepost:
    """A gateway that is ready."""

    data_dir: Path
    pids: tuple[int, ...]
    http: str
    https: str
    admin: str
    inventory: str
    listening: Mapping[str, list[str]] = field(hash=False)
    """All its URLs, by part."""

    def port(self, part: str, scheme: str) -> int:
        """Where a part listens by a scheme."""
        return next(urlsplit(url).port or 0 for url in self.listening[part] if urlsplit(url).scheme == scheme)

    @property
    def workers(self) -> tuple[int, ...]:
        """The processes that serve phones."""
        return tuple(pid for pid in self.pids if _words(pid)[-1:] == ["worker"])

    @property
    def ports(self) -> tuple[int, int]:
        """Plain and TLS."""
        return urlsplit(self.http).port or 0, urlsplit(self.https).port or 0

    def api(self) -> httpx.Client:
        """A client of the admin API."""
        token = (self.data_dir / "admin-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"{self.admin}/api/v1", headers=headers, timeout=60)

    def ban(self, name: str = "TikTok", app: str = BANNED) -> None:
        """Ban an app, enforced."""
        matcher = {"kind": "id", "value": app, "platform": "android"}
        self.until_previews()
        with self.api() as api:
            edit = {"name": name, "matchers": [matcher], "flag": "enforce"}
            change = change_of(api.post("/bans", json=edit))
            if change is not None:
                approve(api, change)
                api.post(f"/changes/{change}/apply").raise_for_status()

    def until_previews(self) -> None:
        """Wait until the gateway knows the fleet well enough to say what an edit does to it."""

        def known() -> bool:
            return api.get("/impact/verify", params={"sample": 1}).status_code == httpx.codes.OK

        with self.api() as api:
            wait_until(known, "previews can be made", INDEX_SECONDS)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = httpx.get(f"{self.admin}/metrics", timeout=30).text
        lines = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@contextmanager
def gatepost(
    core: int | None,
    data_dir: Path,
    upstream: str,
    certificate: Certificate,
    *,
    workers: int = 1,
    port: int = 0,
    more: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Gatepost]:
    """Start it on ``data_dir``, all its processes on one core (None: any); inside it is ready.

    ``more``: further tables of its configuration.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    config = data_dir / "gatepost.toml"
    config.write_text(_configuration(data_dir, upstream, certificate, workers, port) + more)
    started = data_dir / "listening.json"
    argv = (sys.executable, "-m", "gateway.cli.main", "run", "--config", str(config))
    with child(core, *argv, environment={**OPENED, **(environment or {})}) as process:
        wait_until(lambda: started.exists() or process.poll() is not None, "the gateway is ready")
        if process.poll() is not None:
            raise SystemExit("the gateway ended at once: try `gatepost run` by hand")
        yield described(data_dir, process.pid)


def described(data_dir: Path, pid: int) -> Gatepost:
    """A gateway that has written where it listens."""
    urls = json.loads((data_dir / "listening.json").read_text())
    plain, secure = urls["http"]
    return Gatepost(data_dir, descendants(pid), plain, secure, urls["admin"][0], urls["inventory"][0], urls)


def _configuration(data_dir: Path, upstream: str, certificate: Certificate, workers: int, port: int) -> str:
    anywhere = '["http://127.0.0.1:0"]'
    return f"""
[gateway]
data_dir = "{data_dir}"
workers = {workers}
[http]
listen = ["http://127.0.0.1:{port}", "https://127.0.0.1:0"]
upstream = ["{upstream}"]
[tls]
certificate = "{certificate.certificate}"
key = "{certificate.key}"
[admin]
listen = {anywhere}
[inventory]
listen = {anywhere}
"""


def _words(pid: int) -> Sequence[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
