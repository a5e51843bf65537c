"""Asks a gateway on this machine whether it lives: exit 0 or 1, for container health checks.

``python -m gateway.observability.probe URL…``: the first of the URLs that answers counts. A listener that speaks TLS
where ``http`` was asked for is asked by TLS; its certificate is for another name than this machine has for itself, and
nothing is told to it.
"""

import http.client
import ssl
import sys
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 4.0


def alive(url: str) -> bool | None:
    """What /healthz at ``url`` (scheme and host only) says; None when nobody answers there."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    plain = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    within = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=_believing())
    for connection in (within,) if parts.scheme == "https" else (plain, within):
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.client.OK
        except (ConnectionRefusedError, TimeoutError):
            return None
        except (OSError, http.client.HTTPException):
            # It does not speak so, perhaps.
            continue
        finally:
            connection.close()
    return None


def _believing() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main(urls: list[str]) -> int:
    """The exit code."""
    for url in urls:
        answer = alive(url)
        if answer is not None:
            return 0 if answer else 1
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
