"""One way to start a Dovecot and a Postfix of a test, as root and as children of ours; what they serve is in its words.

Everything of one lies in its own directory. Each says by itself which ports it serves, and counts as started when it
is there at all of them.
"""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.live.children import Child, run, start

PASSED_ON = 'trap "kill \\$child" TERM; "$@" & child=$!; wait; wait'
"""A shell that ends with us and takes with it a program that forgets, by changing its user, that it should."""


def know_users(directory: Path, users: Iterable[str], password: str) -> None:
    """Write the ``users`` that a passwd-file of Dovecot's reads, each with the same password."""
    (directory / "users").write_text("".join(f"{user}:{{PLAIN}}{password}\n" for user in users))


def make_room_for_mail(directory: Path) -> None:
    """Where mailboxes come to be; their owner is another user than ours."""
    mail = directory / "mail"
    mail.mkdir(mode=0o777)
    mail.chmod(0o777)


def run_dovecot(directory: Path, configuration: str, *ports: int) -> Child:
    """In a directory that is there."""
    config = directory / "dovecot.conf"
    config.write_text(configuration)
    child = start("dovecot", ("dovecot", "-F", "-c", str(config)), directory)
    _until_all(child, ports)
    return child


def run_postfix(directory: Path, main: str, master: str, *ports: int, state: str = "state") -> Child:
    """With ``main.cf`` and ``master.cf``; its queue is ``queue`` in the directory, and its data ``state``."""
    config = directory / "postfix"
    config.mkdir(parents=True)
    for name, owner in (("queue", "root"), (state, "postfix")):
        make_for(directory / name, owner)
    (config / "main.cf").write_text(main)
    (config / "master.cf").write_text(master)
    run(("postfix", "-c", str(config), "check"), directory)
    # Not by "postfix start-fg": its master runs in a session of its own and would outlive us.
    program = (str(master_program()), "-c", str(config), "-d")
    child = start("postfix", ("sh", "-c", PASSED_ON, "sh", *program), directory)
    _until_all(child, ports)
    return child


def make_for(directory: Path, owner: str) -> None:
    """A directory of another user's."""
    directory.mkdir()
    shutil.chown(directory, owner)


def master_program() -> Path:
    """Postfix's own supervisor."""
    said = subprocess.run(("postconf", "-d", "-h", "daemon_directory"), capture_output=True, text=True, check=True)
    return Path(said.stdout.strip()) / "master"


def _until_all(child: Child, ports: Iterable[int]) -> None:
    for port in ports:
        child.until_port(port)
