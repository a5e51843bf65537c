"""A reverse proxy as one would write it with aiohttp on uvloop: streaming both ways, DeviceIds in a set.

``python -m bench.proxies.aiohttp_proxy MAIL PLAIN SECURE CERTIFICATE KEY PEOPLE`` serves until killed.
"""

import asyncio
import ssl
import sys
from typing import Any, cast

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from bench.fleet import device_of, holds_banned

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"})


class Proxy:
    """Judges by the query's DeviceId and passes on."""

    def __init__(self, session: ClientSession, mail: int, allowed: frozenset[str]) -> None:
        self._session = session
        self._mail = f"http://127.0.0.1:{mail}"
        self._allowed = allowed

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        if request.query.get("DeviceId", "").lower() not in self._allowed:
            return web.Response(status=403)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP]
        headers.append(("X-Forwarded-For", request.remote or ""))
        url = self._mail + request.path_qs
        body = request.content if request.body_exists else None
        async with self._session.request(request.method, url, headers=headers, data=body) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP]
            response = web.StreamResponse(status=answer.status, headers=dict(kept))
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response


async def main(mail: int, plain: int, secure: int, certificate: str, key: str, people: int) -> None:
    """Serve until killed; prints a line once it listens."""
    from bench.machine import raise_open_files

    raise_open_files()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    allowed = frozenset(device_of(number) for number in range(people) if not holds_banned(number))
    connector = TCPConnector(limit=0, force_close=False)
    async with ClientSession(connector=connector, timeout=ClientTimeout(), auto_decompress=False) as session:
        server = web.Server(cast(Any, Proxy(session, mail, allowed)), access_log=None, keepalive_timeout=300)
        runner = web.ServerRunner(server)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", plain, backlog=4096).start()
        await web.TCPSite(runner, "127.0.0.1", secure, backlog=4096, ssl_context=context).start()
        print("listening", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    mail, plain, secure = map(int, sys.argv[1:4])
    uvloop.run(main(mail, plain, secure, sys.argv[4], sys.argv[5], int(sys.argv[6])))
