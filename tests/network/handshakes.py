"""TLS handshakes in memory, between real contexts."""

import ssl
import warnings

from gateway.network.tls import server_context
from tests.network.authority import Issued


def server_of(issued: Issued, client_ca: str = "", minimum: str = "1.2") -> ssl.SSLContext:
    return server_context(issued.files(client_ca=client_ca, minimum=minimum))


def shaken(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost", session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a handshake; raises ``ssl.SSLError``."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name, session=session),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    waiting = list(ends)
    for _ in range(20):
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            # In TLS 1.3 a refused client certificate shows only afterwards.
            ends[1].write(b"hello")
            assert ends[0].read(5) == b"hello"
            return ends
    raise AssertionError("the handshake does not end")


def limited(client: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client of exactly one version."""
    with warnings.catch_warnings():
        # The old ones are what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        client.minimum_version = client.maximum_version = version
    return client
