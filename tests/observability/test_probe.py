"""The health check of containers, against a real HTTP server."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway.observability.probe import main


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        served: ThreadingHTTPServer = self.server  # type: ignore[assignment]
        self.send_response(served.answer if self.path == "/healthz" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Not to standard error."""


@pytest.fixture(params=[200, 503])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.answer = request.param  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", 0 if request.param == 200 else 1
        server.shutdown()
        thread.join()


def test_the_first_that_answers_counts(served: tuple[str, int]) -> None:
    url, code = served
    nobody = "http://127.0.0.1:1"
    assert main([url]) == code
    assert main([nobody, url]) == code


def test_nobody_answers() -> None:
    assert main(["http://127.0.0.1:1"]) == 1
    assert main([]) == 1
