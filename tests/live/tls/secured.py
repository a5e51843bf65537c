"""A gateway with TLS as a test has it, and OpenSSL's own client before it."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from tests.network.authority import Authority, Issued
from tests.support.raw_http import eas, request
from tests.support.running import Running, running
from tests.support.spine import FOLDER_SYNC

CORPORATE = "phones.corp.example"
ASK = request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC, user="anna", Connection="close")
MAIL = "mail for anna"


@asynccontextmanager
async def secured(
    directory: Path, upstream: str, own: Issued, more: str = "", workers: int = 1
) -> AsyncIterator[Running]:
    """A gateway that serves phones by TLS; ``more``: further keys of [tls]."""
    tables = f'[tls]\ncertificate = "{own.certificate}"\nkey = "{own.key}"\n{more}\n'
    environment = {"GATEPOST_HTTP__LISTEN": "https://127.0.0.1:0"}
    async with running(directory, upstream, workers=workers, more=tables, environment=environment) as gateway:
        yield gateway


@dataclass(frozen=True, slots=True)
class Secured:
    """The gateway and its certificates."""

    gateway: Running
    authority: Authority
    own: Issued
    corporate: Issued

    @property
    def port(self) -> str:
        """Where phones come to."""
        return self.gateway.http.rpartition(":")[2]

    async def s_client(self, *words: str, octets: bytes = ASK) -> str:
        """What ``openssl s_client`` says, of a connection that sends ``octets`` and waits for the end."""
        client = await self.begun(*words)
        try:
            out, _ = await asyncio.wait_for(client.communicate(octets), 30)
        finally:
            if client.returncode is None:
                client.kill()
        return out.decode(errors="replace")

    async def begun(self, *words: str, commands: bool = False) -> asyncio.subprocess.Process:
        """An ``openssl s_client`` that has its standard input still open; ``commands``: it takes its own from there."""
        program = shutil.which("openssl")
        if program is None:
            pytest.skip("openssl is not installed")
        name = [] if "-servername" in words or "-noservername" in words else ["-servername", "localhost"]
        return await asyncio.create_subprocess_exec(
            *(program, "s_client", "-connect", f"127.0.0.1:{self.port}"),
            *("-CAfile", str(self.authority.certificate), *name, *words),
            *(() if commands else ("-ign_eof",)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def shown(self, *words: str) -> int:
        """The serial number of the certificate that is shown."""
        said = await self.s_client(*words)
        found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", said, re.DOTALL)
        assert found, said
        return x509.load_pem_x509_certificate(found[0].encode()).serial_number

    async def until_logged(self, event: str, count: int) -> None:
        """Wait for so many log lines of a kind."""
        async with asyncio.timeout(30):
            while self.logged(event) < count:  # noqa: ASYNC110  (another process writes them)
                await asyncio.sleep(0.02)

    async def until_counted(self, reason: str) -> None:
        """Wait until a handshake that failed so is in the metrics."""
        line = f'gatepost_tls_failed_total{{reason="{reason}"}}'
        async with httpx.AsyncClient() as client, asyncio.timeout(30):
            while line not in (await client.get(f"{self.gateway.admin}/metrics")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    def logged(self, event: str) -> int:
        """How many log lines of a kind there are."""
        return sum(entry["event"] == event for entry in self.gateway.log)


def serial_of(issued: Issued) -> int:
    """The serial number of a certificate."""
    return x509.load_pem_x509_certificate(issued.certificate.read_bytes()).serial_number
