"""A front proxy before an API: it passes some imports on, and answers the next one itself when it has passed it on."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

GATEWAY_TIMEOUT = b"<html><body><h1>504 Gateway Time-out</h1></body></html>"


@dataclass
class Front:
    """What stands behind it has taken ``imported`` rows."""

    takes: int
    status: int
    url: str = ""
    imported: list[int] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """For a command."""
        return {"GATEPOST_URL": self.url}


@contextmanager
def broken_front(takes: int, status: int = 504) -> Iterator[Front]:
    """It gives the answers to ``takes`` pieces of an import, and to every dry run; then HTML."""
    front = Front(takes, status)

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            rows = asked["rows"]
            names = {"users": [row["user"] for row in rows], "aliases": [], "may_cut": None, "dry_run": True}
            counted = {"added": len(rows), "changed": 0, "unchanged": 0, "newly_cut": 0, "newly_admitted": 0}
            if not asked["dry_run"]:
                front.imported.append(len(rows))
            lost = len(front.imported) > front.takes
            body = GATEWAY_TIMEOUT if lost else json.dumps({**counted, **names}).encode()
            self.send_response(front.status if lost else 200)
            self.send_header("Content-Type", "text/html" if lost else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's own name)
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        front.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield front
        finally:
            server.shutdown()
            thread.join()
