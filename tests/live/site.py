"""A whole mail site on loopback: mailboxes, delivery, SOGo with ActiveSync, and nginx before it, plain and with TLS.

All of it lives in one temporary directory and ends with the test run.
"""

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.live.children import START_SECONDS, Child, free_ports
from tests.live.mail_servers import PASSWORD, Mail, start_dovecot, start_postfix
from tests.live.sogo import postgresql_programs, start_memcached, start_nginx, start_postgresql, start_sogo
from tests.support.phone_certificates import Certificates, make_certificates

PROGRAMS = ("sogod", "nginx", "dovecot", "postfix", "memcached", "setpriv")
ACTIVESYNC = Path("/usr/lib/GNUstep/SOGo/ActiveSync.SOGo")
WAITING = r"sogod \[(\d+)\].* while detecting changes for user {} in (?:Ping|Sync)"


@dataclass(frozen=True, slots=True)
class Site:
    """The site as phones and colleagues reach it."""

    plain: str
    tls: str
    certificates: Certificates
    mail: Mail
    sogo: Child

    def waiting(self, user: str) -> int:
        """How many of SOGo's workers have said that they wait on behalf of ``user``; each says so again and again."""
        return len(set(re.findall(WAITING.format(user), self.sogo.log.read_text(errors="replace"))))

    async def until_waiting(self, user: str, workers: int = 1) -> None:
        """Wait until so many workers have begun to wait."""
        async with asyncio.timeout(20):
            while self.waiting(user) < workers:  # noqa: ASYNC110  (nothing but its log tells of it)
                await asyncio.sleep(0.02)


def missing() -> str:
    """Why the site cannot be started here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root: each of the servers runs as a user of its own"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    absent += [] if ACTIVESYNC.is_dir() else ["sogo-activesync"]
    absent += [] if postgresql_programs() else ["postgresql"]
    return f"not installed: {', '.join(absent)} (make servers)" if absent else ""


@contextmanager
def running_site(users: tuple[str, ...]) -> Iterator[Site]:
    """Start everything; it is ready inside, and ended after."""
    directory = Path(tempfile.mkdtemp(prefix="gatepost-live-"))
    directory.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        stack.callback(_assert_all_ended, directory)
        site = _start(stack, directory, users)
        _until_answering(site, users[0])
        for user in users:
            site.mail.enable_condstore(user)
        yield site


def _start(stack: ExitStack, directory: Path, users: tuple[str, ...]) -> Site:
    def kept(child: Child) -> Child:
        stack.callback(child.stop)
        return child

    imap, lmtp, smtp, sql, memcached, inside, plain, tls = free_ports(8)
    made = make_certificates(directory)
    kept(start_dovecot(directory / "dovecot", users, imap, lmtp))
    kept(start_postfix(directory / "postfix", smtp, lmtp))
    kept(start_postgresql(directory / "postgresql", users, sql))
    kept(start_memcached(directory / "memcached", memcached))
    sogo = start_sogo(directory / "sogo", port=inside, sql=sql, memcached=memcached, imap=imap, smtp=smtp)
    kept(sogo)
    certificate = {"certificate": made.certificate, "key": made.key}
    kept(start_nginx(directory / "nginx", plain=plain, tls=tls, sogo=inside, **certificate))
    return Site(f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}", made, Mail(smtp, imap), sogo)


def _assert_all_ended(directory: Path) -> None:
    """Whatever still works in the directory was started by us and has got away."""
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if cwd.readlink().is_relative_to(directory):
                raise AssertionError(f"not ended: {(cwd.parent / 'cmdline').read_bytes()!r}")


def _until_answering(site: Site, user: str) -> None:
    """SOGo listens before its workers are ready, and says 503 until then."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        answer = httpx.options(f"{site.plain}/Microsoft-Server-ActiveSync", auth=(user, PASSWORD), timeout=20)
        if answer.status_code == 200:
            return
        time.sleep(0.1)
    raise AssertionError(f"SOGo answers {answer.status_code}: {site.sogo.said()}")
