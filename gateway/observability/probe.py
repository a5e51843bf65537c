"""Asks a gateway on this machine whether it lives: exit 0 or 1, for container health checks.

``python -m gateway.observability.probe URL…``: the first of the URLs that answers counts.
"""

import http.client
import sys
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 4.0


def alive(url: str) -> bool | None:
    """What /healthz at ``url`` (http, scheme and host only) says; None when nobody answers there."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def main(urls: list[str]) -> int:
    """The exit code."""
    for url in urls:
        answer = alive(url)
        if answer is not None:
            return 0 if answer else 1
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
