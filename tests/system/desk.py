"""Commands that go wrong, what they print, and the page that lists it (``docs/reference/errors.md``)."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.running import clean_environment

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
DEFAULTS = """
[gateway]
data_dir = "var"
[http]
listen = ["http://127.0.0.1:0"]
upstream = ["https://mail.internal"]
[admin]
listen = ["http://127.0.0.1:0"]
[inventory]
listen = ["http://127.0.0.1:0"]
"""
WITHIN_SECONDS = 60.0
IN_USE = (
    "the port is in use by another program (ss -ltnp 'sport = :8080' shows which): "
    "end that program or choose another port"
)


def documented(sentence: str) -> bool:
    """Whether the page has this sentence, on a line of its own."""
    return sentence in PAGE.read_text("utf-8").splitlines()


def written(sentence: str) -> str:
    """What a command prints for a sentence."""
    return f"gatepost: {sentence}\n"


def https(certificate: str, key: str = "") -> dict[str, str]:
    """Variables of a gateway that serves https by these files."""
    return {
        "GATEPOST_HTTP__LISTEN": "https://127.0.0.1:0",
        "GATEPOST_TLS__CERTIFICATE": certificate,
        "GATEPOST_TLS__KEY": key,
    }


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


async def gatepost(*words: str, environment: dict[str, str], directory: Path, by: tuple[str, ...] = ()) -> Ended:
    """Run a command as an operator does; ``by`` are words before it."""
    process = await asyncio.create_subprocess_exec(
        *(*by, sys.executable, "-m", "gateway.cli.main", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=directory,
        env=clean_environment(environment),
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), WITHIN_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
