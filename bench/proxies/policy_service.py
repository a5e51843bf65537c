"""A minimal policy service for Postfix (SMTPD_POLICY_README): it lets everybody pass who has logged in.

``python -m bench.proxies.policy_service PATH`` serves on a unix socket until killed.
"""

import asyncio
import os
import sys

import uvloop


class PolicyService(asyncio.Protocol):
    """Answers one question after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._question = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """A question ends with an empty line."""
        assert self._transport is not None
        self._question += data
        if self._question.endswith(b"\n\n"):
            known = b"\nsasl_username=user" in self._question
            self._question = b""
            self._transport.write(b"action=DUNNO\n\n" if known else b"action=REJECT\n\n")


async def main(path: str) -> None:
    """Serve until killed; prints a line once it listens."""
    server = await asyncio.get_running_loop().create_unix_server(PolicyService, path, backlog=1024)
    os.chmod(path, 0o666)  # noqa: S103  (smtpd is another user)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
