"""mitmproxy in front of the mail server, in an environment of its own: it pins libraries that we need newer.

The environment is made beside the results when it is first wanted.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.certificate import Certificate
from bench.machine import Missing, child, descendants, listens, wait_until

HOME = Path(__file__).resolve().parents[1] / "results" / "mitmproxy"
WANTED = "mitmproxy>=11,<13"
INSTALL_SECONDS = 600


def mitmdump() -> Path:
    """The program, installed if need be. Raises ``Missing``."""
    program = HOME / "bin" / "mitmdump"
    if not program.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True, capture_output=True, timeout=120)
            pip = [str(HOME / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", WANTED]
            subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            raise Missing(f"mitmproxy cannot be installed ({type(error).__name__})") from error
    return program


@contextmanager
def mitmproxy(
    core: int, directory: Path, mail: int, port: int, certificate: Certificate, allowed: Path
) -> Iterator[tuple[int, ...]]:
    """Its process ids. It takes plain and TLS on one port. ``allowed``: a file of DeviceIds."""
    argv = (
        *(str(mitmdump()), "-q", "--mode", f"reverse:http://127.0.0.1:{mail}", "--listen-host", "127.0.0.1"),
        *("-p", str(port), "--certs", str(certificate.both), "--set", f"confdir={directory / 'mitmproxy'}"),
        *("--set", "connection_strategy=lazy", "-s", str(Path(__file__).with_name("mitm_addon.py"))),
    )
    with child(core, *argv, environment={"ALLOWED_DEVICES": str(allowed)}) as started:
        wait_until(lambda: listens(port) or started.poll() is not None, "mitmproxy listens")
        if started.poll() is not None:
            raise Missing("mitmproxy does not start")
        yield descendants(started.pid)
