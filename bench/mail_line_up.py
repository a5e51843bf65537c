"""The mail proxies that are measured side by side, before the same mail server and with the same people in mind."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.certificate import Certificate, make_certificate
from bench.fleet import fleet, holds_banned, login_of
from bench.gatepost import Gatepost, gatepost
from bench.loads.mail_server import KINDS
from bench.machine import LOAD_CORE, PROXY_CORE, Missing, child, descendants, family_cpu, private_kb
from bench.mailbox import mailbox_process
from bench.proxies.nginx_mail import nginx_mail
from bench.proxies.perdition import perdition
from tests.live.children import free_ports

MAIL_NAMES = ("nginx-mail", "nginx-mail-64k", "nginx-mail-server", "perdition", "gatepost")
MAIL_TITLES = {
    "nginx-mail": "nginx mail, asks itself (map)",
    "nginx-mail-64k": "the same, proxy_buffer 64k",
    "nginx-mail-server": "nginx mail + uvloop server",
    "perdition": "perdition, no judging",
    "gatepost": "Gatepost",
}
SCHEMES = ("imap", "imaps", "pop3", "pop3s")
_MAIL_FRONTS = """
[imap]
listen = ["imap://127.0.0.1:0", "imaps://127.0.0.1:0"]
upstream = "imap://127.0.0.1:{imap}"
cleartext_login = true
[pop3]
listen = ["pop3://127.0.0.1:0", "pop3s://127.0.0.1:0"]
upstream = "pop3://127.0.0.1:{pop3}"
cleartext_login = true
"""
SMTP_FRONT = """
[smtp]
listen = ["smtp://127.0.0.1:0", "smtps://127.0.0.1:0"]
upstream = "smtp://127.0.0.1:{smtp}"
cleartext_login = true
"""


@dataclass(frozen=True, slots=True)
class MailTarget:
    """Something under test that runs."""

    name: str
    title: str
    ports: dict[str, int] = field(hash=False)
    """By scheme."""
    roots: tuple[int, ...]
    """Its processes, without those below them."""
    gateway: Gatepost | None = None

    def cpu(self) -> float:
        """Seconds used so far, by processes that have ended as well."""
        return sum(map(family_cpu, self.roots))

    @property
    def pids(self) -> tuple[int, ...]:
        """All processes at this moment."""
        return tuple(each for root in self.roots for each in descendants(root))

    def memory_kb(self) -> int:
        """Memory that is its own."""
        return private_kb(self.pids)


@dataclass(slots=True)
class MailSite:
    """A directory, people and a mail server to start targets on."""

    stack: ExitStack
    directory: Path
    certificate: Certificate
    people: int
    to: dict[str, int]
    """The mail server's ports by protocol."""
    skipped: dict[str, str]

    @property
    def allowed(self) -> list[int]:
        """Who may have mail."""
        return [each for each in range(self.people) if not holds_banned(each)]

    def start(self, name: str) -> MailTarget:
        """Start one. Raises ``Missing``."""
        if name == "gatepost":
            return self.gatepost(_MAIL_FRONTS.format(**self.to), ("imap", "pop3"))
        ports = dict(zip(SCHEMES, free_ports(len(SCHEMES)), strict=True))
        there = (self.to, ports, self.certificate)
        enter = self.stack.enter_context
        if name == "perdition":
            return MailTarget(name, MAIL_TITLES[name], ports, enter(perdition(PROXY_CORE, self.directory, *there)))
        buffer = "proxy_buffer 64k;" if name.endswith("64k") else ""
        server = name.endswith("server")
        made = nginx_mail(PROXY_CORE, self.directory, name, *there, self._known(), buffer=buffer, server=server)
        return MailTarget(name, MAIL_TITLES[name], ports, enter(made))

    def gatepost(
        self, more: str, parts: Sequence[str], title: str = "Gatepost", core: int | None = PROXY_CORE
    ) -> MailTarget:
        """A whole gateway with these fronts."""
        data_dir = self.directory / f"var-{len(list(self.directory.glob('var-*')))}"
        fleet(data_dir, self.people)
        mailbox = self.stack.enter_context(mailbox_process())
        running = self.stack.enter_context(gatepost(core, data_dir, mailbox, self.certificate, more=more))
        running.ban()
        schemes = [scheme for part in parts for scheme in (part, f"{part}s")]
        ports = {scheme: running.port(scheme[:4], scheme) for scheme in schemes}
        return MailTarget("gatepost", title, ports, (running.pids[0],), running)

    def _known(self) -> Path:
        """The people who may, one a line."""
        path = self.directory / "known-people"
        if not path.exists():
            path.write_text("".join(f"{login_of(each)} OK;\n" for each in self.allowed))
        return path

    def start_all(self, names: Sequence[str]) -> list[MailTarget]:
        """Those of ``names`` that can be started; why the others cannot stands in ``skipped``."""
        targets = []
        for name in names:
            try:
                targets.append(self.start(name))
            except Missing as error:
                self.skipped[name] = str(error)
        return targets


@contextmanager
def mail_site(people: int, to: dict[str, int] | None = None) -> Iterator[MailSite]:
    """A place for targets; everything in it ends with it. ``to``: another mail server than the minimal one."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="gatepost-mail-")))
        directory.chmod(0o755)
        yield MailSite(
            stack, directory, make_certificate(directory), people, to or stack.enter_context(mail_server_process()), {}
        )


@contextmanager
def mail_server_process() -> Iterator[dict[str, int]]:
    """The minimal mail server as a process of its own: its ports."""
    with child(LOAD_CORE, sys.executable, "-m", "bench.loads.mail_server") as started:
        assert started.stdout is not None
        ports = [int(each) for each in started.stdout.readline().split()]
        if not ports:
            raise SystemExit("the mail server did not start")
        yield dict(zip(KINDS, ports, strict=True))


def chosen(wanted: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Those named on the command line that this part knows; all of them if none is."""
    return [each for each in wanted if each in known] or known
