"""Mail programs that fetch, as their users set them up: isync (mbsync) and fetchmail, in a directory of their own."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.mail.conftest import Way
from tests.live.mail_servers import PASSWORD

WITHIN_SECONDS = 60

MBSYNC = """
IMAPAccount gate
Host localhost
Port {port}
User {user}
Pass {password}
SSLType {tls}
SystemCertificates no
CertificateFile {authority}
AuthMechs PLAIN LOGIN

IMAPStore far
Account gate

MaildirStore near
Path {directory}/mail/
Inbox {directory}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
SyncState {directory}/state/
"""

FETCHMAIL = """
set no bouncemail
poll localhost protocol {protocol} port {port} auth password
    user "{user}" password "{password}" keep fetchall mda "cat >> {directory}/fetched"
    sslproto "{tls}" {secure} sslcertck sslcertfile "{authority}"
"""


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended."""

    code: int
    said: str


@dataclass(frozen=True, slots=True)
class Mbsync:
    """One account with its local copy."""

    way: Way
    directory: Path
    user: str

    def run(self) -> Done:
        """Both sides become the same."""
        (self.directory / "mail").mkdir(exist_ok=True)
        (self.directory / "state").mkdir(exist_ok=True)
        config = self.directory / "mbsyncrc"
        config.touch(mode=0o600)
        config.write_text(
            MBSYNC.format(
                port=self.way.port("imap"),
                user=self.user,
                password=PASSWORD,
                tls={"clear": "None", "starttls": "STARTTLS", "tls": "IMAPS"}[self.way.name],
                authority=self.way.dovecot.certificates.authority,
                directory=self.directory,
            )
        )
        return _run(("mbsync", "-V", "-c", str(config), "all"), self.directory)

    @property
    def mails(self) -> list[bytes]:
        """What is in the local Inbox."""
        inbox = self.directory / "mail" / "INBOX"
        return sorted(path.read_bytes() for part in ("new", "cur") for path in (inbox / part).glob("*"))

    def read_all(self) -> None:
        """Mark everything in the local Inbox as read."""
        inbox = self.directory / "mail" / "INBOX"
        for path in [*(inbox / "new").glob("*"), *(inbox / "cur").glob("*")]:
            name, _, flags = path.name.partition(":2,")
            path.rename(inbox / "cur" / f"{name}:2,{''.join(sorted({*flags, 'S'}))}")


@dataclass(frozen=True, slots=True)
class Fetchmail:
    """One account whose mail goes into a file."""

    way: Way
    directory: Path
    user: str
    protocol: str
    """``imap`` or ``pop3``."""

    def run(self) -> Done:
        """Fetch everything, once, and leave it where it is."""
        config = self.directory / "fetchmailrc"
        config.touch(mode=0o600)
        config.write_text(
            FETCHMAIL.format(
                protocol=self.protocol.upper(),
                port=self.way.port(self.protocol),
                user=self.user,
                password=PASSWORD,
                directory=self.directory,
                tls={"clear": "", "starttls": "tls1.2+", "tls": "auto"}[self.way.name],
                secure="ssl" if self.way.name == "tls" else "",
                authority=self.way.dovecot.certificates.authority,
            )
        )
        files = ("--pidfile", str(self.directory / "pid"), "--idfile", str(self.directory / "ids"))
        words = ("fetchmail", "--nodetach", "--nosyslog", "-v", "-d0", "-f", str(config), *files)
        return _run(words, self.directory)

    @property
    def fetched(self) -> bytes:
        """All that has been fetched so far."""
        path = self.directory / "fetched"
        return path.read_bytes() if path.exists() else b""


def _run(words: tuple[str, ...], directory: Path) -> Done:
    if shutil.which(words[0]) is None:
        pytest.skip(f"needs {words[0]} (make servers)")
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=WITHIN_SECONDS,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "LC_ALL": "C.UTF-8"},
    )
    return Done(done.returncode, done.stdout + done.stderr)
