"""curl as a phone: by HTTP/2 where the server offers it, which no reader of ours speaks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.phone_certificates import Certificates
from tests.support.raw_http import WBXML

SECONDS = 30.0
RESET = 92
"""curl's exit code for a stream that was reset. Go's server, so Traefik, answers a refused request before it has read
the body, and then resets the stream (RFC 9113 §8.1): an error to curl 7.88 where the body was still to be sent."""
RESETS_MOST = 5


@dataclass(frozen=True, slots=True)
class CurlAnswer:
    """An answer as curl has it."""

    version: str
    """``HTTP/2`` or ``HTTP/1.1``."""
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """A header's value; empty when absent."""
        return next((value for key, value in self.headers if key == name.lower()), "")


async def curl(
    port: int,
    target: str,
    made: Certificates,
    *,
    user: str = "",
    body: bytes = b"",
    headers: Sequence[str] = (),
    version: str = "14.1",
    by: str = "--http2",
    seconds: float = SECONDS,
) -> CurlAnswer:
    """POST on a connection of its own; ``by``: curl's word for the version of HTTP."""
    said = ("Host: localhost", f"MS-ASProtocolVersion: {version}", f"Content-Type: {WBXML}", "Expect:", *headers)
    words = ["-i", by, "--max-time", f"{seconds:.0f}", "--data-binary", "@-"]
    words += ["-u", f"{user}:secret"] if user else []
    words += [word for line in said for word in ("-H", line)]
    return _read(await _run(port, made, [*words, f"https://localhost:{port}{target}"], body, seconds))


async def statuses_by_curl(port: int, targets: Sequence[str], made: Certificates, user: str) -> list[int]:
    """POST to each of them, by HTTP/2 where it is offered, on one connection."""
    words = ["--http2", "--max-time", f"{SECONDS:.0f}", "-u", f"{user}:secret", "--data-binary", "@-"]
    words += ["-H", "Host: localhost", "-H", "MS-ASProtocolVersion: 14.1", "-w", "%{http_code}\n"]
    for target in targets:
        words += ["-o", "/dev/null", f"https://localhost:{port}{target}"]
    return [int(line) for line in (await _run(port, made, words, b"", SECONDS)).split()]


async def _run(port: int, made: Certificates, words: Sequence[str], body: bytes, seconds: float) -> bytes:
    always = ("-sS", "--cacert", str(made.authority), "--path-as-is", "--resolve", f"localhost:{port}:127.0.0.1")
    for _ in range(RESETS_MOST):
        code, output, complaint = await _once([*always, *words], body, seconds)
        if code != RESET:
            break
    assert code == 0, complaint
    return output


async def _once(words: Sequence[str], body: bytes, seconds: float) -> tuple[int | None, bytes, bytes]:
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec("curl", *words, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        output, complaint = await asyncio.wait_for(running.communicate(body), seconds + 5)
    finally:
        if running.returncode is None:
            running.kill()
    return running.returncode, output, complaint


def _read(output: bytes) -> CurlAnswer:
    head, _, body = output.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status = first.split(" ")[:2]
    fields = (line.partition(":") for line in lines)
    return CurlAnswer(version, int(status), tuple((name.lower(), value.strip()) for name, _, value in fields), body)
