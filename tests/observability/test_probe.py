"""The health check of containers, against a real HTTP server."""

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.observability.probe import main
from tests.support.phone_certificates import make_certificates


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        served: ThreadingHTTPServer = self.server  # type: ignore[assignment]
        self.send_response(served.answer if self.path == "/healthz" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Not to standard error."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever speaks no TLS, where that is spoken, is nobody's fault."""


@pytest.fixture(params=[(200, False), (503, False), (200, True), (503, True)], ids=str)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, int]]:
    status, secure = request.param
    with Server(("127.0.0.1", 0), Answering) as server:
        server.answer = status  # type: ignore[attr-defined]
        if secure:
            made = make_certificates(tmp_path)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(made.certificate, made.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", 0 if status == 200 else 1
        server.shutdown()
        thread.join()


def test_the_first_that_answers_counts(served: tuple[str, int]) -> None:
    """By TLS or without, whichever its listener speaks."""
    url, code = served
    nobody = "http://127.0.0.1:1"
    assert main([url]) == code
    assert main([nobody, url]) == code


def test_tls_may_be_asked_for(served: tuple[str, int], request: pytest.FixtureRequest) -> None:
    url, code = served
    secure = request.node.callspec.params["served"][1]
    assert main([url.replace("http:", "https:")]) == (code if secure else 1)


def test_nobody_answers() -> None:
    assert main(["http://127.0.0.1:1"]) == 1
    assert main([]) == 1
