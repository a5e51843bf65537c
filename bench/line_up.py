"""Everything that is measured side by side, started before one mail server, each with the same fleet in mind."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.certificate import Certificate, make_certificate
from bench.fleet import device_of, fleet, holds_banned
from bench.gatepost import Gatepost, gatepost
from bench.machine import PROXY_CORE, Missing, free_ports, need, python_child
from bench.proxies import haproxy, mitm, nginx

NAMES = ("nginx", "nginx-map-auth", "nginx-auth", "haproxy", "aiohttp", "mitmproxy", "gatepost")
TITLES = {
    "nginx": "nginx, no judging",
    "nginx-map-auth": "nginx auth_request to itself (map)",
    "nginx-auth": "nginx auth_request + uvloop server",
    "haproxy": "HAProxy + map",
    "aiohttp": "aiohttp proxy",
    "mitmproxy": "mitmproxy + addon",
    "gatepost": "Gatepost",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Something under test that runs."""

    name: str
    plain: int
    secure: int
    pids: tuple[int, ...]
    gateway: Gatepost | None = None

    @property
    def title(self) -> str:
        """For tables."""
        return TITLES[self.name]

    @property
    def judges(self) -> bool:
        """Whether it refuses anybody."""
        return self.name != "nginx"

    def url(self, scheme: str) -> str:
        """``plain`` or ``tls``."""
        return f"http://127.0.0.1:{self.plain}" if scheme == "plain" else f"https://127.0.0.1:{self.secure}"


@dataclass(slots=True)
class Site:
    """A directory, a fleet and a mail server to start targets on."""

    stack: ExitStack
    directory: Path
    certificate: Certificate
    people: int
    mail: int
    skipped: dict[str, str]

    def start(self, name: str) -> Target:
        """Start one. Raises ``Missing``."""
        plain, secure = free_ports(2)
        ports, fixed = (plain, secure), (self.directory, self.mail, (plain, secure), self.certificate)
        enter = self.stack.enter_context
        if name == "gatepost":
            return self._gatepost()
        if name == "nginx":
            need("nginx")
            return Target(name, *ports, enter(nginx.plain(PROXY_CORE, *fixed)))
        if name == "nginx-auth":
            need("nginx")
            return Target(name, *ports, enter(nginx.auth_request(PROXY_CORE, *fixed, self.people)))
        if name == "nginx-map-auth":
            need("nginx")
            return Target(name, *ports, enter(nginx.auth_request_by_map(PROXY_CORE, *fixed, self._known(" 1;"))))
        if name == "haproxy":
            need("haproxy")
            return Target(name, *ports, enter(haproxy.haproxy(PROXY_CORE, *fixed, self._known(" 1"))))
        if name == "aiohttp":
            return Target(name, *ports, self._aiohttp(ports))
        pids = enter(mitm.mitmproxy(PROXY_CORE, self.directory, self.mail, plain, self.certificate, self._known("")))
        return Target(name, plain, plain, pids)

    def _gatepost(self) -> Target:
        data_dir = self.directory / "var"
        fleet(data_dir, self.people)
        running = self.stack.enter_context(
            gatepost(PROXY_CORE, data_dir, f"http://127.0.0.1:{self.mail}", self.certificate)
        )
        running.ban()
        return Target("gatepost", *running.ports, running.pids, running)

    def _aiohttp(self, ports: tuple[int, int]) -> tuple[int, ...]:
        try:
            import aiohttp  # noqa: F401
        except ImportError:
            raise Missing("aiohttp not installed: run bench/install.sh") from None
        words = (self.mail, *ports, self.certificate.certificate, self.certificate.key, self.people)
        started = self.stack.enter_context(python_child(PROXY_CORE, "bench.proxies.aiohttp_proxy", *map(str, words)))
        return (started.pid,)

    def _known(self, suffix: str) -> Path:
        """The devices that may, one a line."""
        path = self.directory / f"known{len(suffix)}"
        if not path.exists():
            lines = (f"{device_of(each)}{suffix}\n" for each in range(self.people) if not holds_banned(each))
            path.write_text("".join(lines))
        return path

    def start_all(self, names: Sequence[str]) -> list[Target]:
        """Those of ``names`` that can be started; why the others cannot stands in ``skipped``."""
        targets = []
        for name in names:
            try:
                targets.append(self.start(name))
            except Missing as error:
                self.skipped[name] = str(error)
        return targets


@contextmanager
def site(people: int, mail: int) -> Iterator[Site]:
    """A place for targets before the mail server at port ``mail``; everything in it ends with it."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="gatepost-bench-")))
        directory.chmod(0o755)
        yield Site(stack, directory, make_certificate(directory), people, mail, {})
