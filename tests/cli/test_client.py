"""Finding the gateway, and every way in which that fails, in one sentence each."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from gateway.runtime.lock import DataDirLock
from tests.cli.conftest import Gatepost


@contextmanager
def web_server(status: int, body: bytes) -> Iterator[str]:
    """Something that is no Gatepost."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  (the library's own name)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's own name)
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_nobody_listens(gatepost: Gatepost) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        failed = gatepost("ban", "list", environment={"GATEPOST_URL": url}, expect=1)
    assert failed.stderr == f"gatepost: no Gatepost answers at {url}: is it running (gatepost run)?\n"


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (502, b"bad gateway"), (200, b""), (404, b"{}"), (500, b'{"detail": 5}')]
)
def test_somebody_else_answers(gatepost: Gatepost, status: int, body: bytes) -> None:
    with web_server(status, body) as url:
        failed = gatepost("ban", "list", environment={"GATEPOST_URL": url}, expect=1)
    assert failed.stderr == f"gatepost: {url} answered {status}, not as a Gatepost does: check the address\n"


@pytest.mark.parametrize("status", [500, 502, 503, 504, 200])
def test_somebody_in_front_answers_an_edit(gatepost: Gatepost, status: int) -> None:
    """A proxy whose patience is over: what stands behind it may have done it."""
    with web_server(status, b"<html>") as url:
        failed = gatepost("change", "reject", "3", environment={"GATEPOST_URL": url}, expect=1)
    assert failed.stderr == (
        f"gatepost: {url} answered {status}, not as a Gatepost does, so it is not known whether this was done: check "
        "the address, and what stands before Gatepost there\n"
    )


@pytest.mark.parametrize("status", [302, 403, 404, 413])
def test_somebody_in_front_refuses_an_edit(gatepost: Gatepost, status: int) -> None:
    with web_server(status, b"<html>") as url:
        failed = gatepost("change", "reject", "3", environment={"GATEPOST_URL": url}, expect=1)
    assert failed.stderr == f"gatepost: {url} answered {status}, not as a Gatepost does: check the address\n"


def test_the_local_token_is_not_for_whoever_listens_in_a_stopped_gateways_place(
    gatepost: Gatepost, tmp_path: Path
) -> None:
    data_dir, config = tmp_path / "var", tmp_path / "gatepost.toml"
    data_dir.mkdir()
    (data_dir / "admin-token").write_text("gpt_local\n")
    config.write_text(f'[gateway]\ndata_dir = "{data_dir}"\n')
    words, environment = ("ban", "list", "--config", str(config)), {"GATEPOST_URL": "", "GATEPOST_TOKEN": ""}
    with web_server(200, b"<html>") as url:
        (data_dir / "listening.json").write_text(json.dumps({"admin": [url]}))
        stopped = gatepost(*words, environment=environment, expect=1)
        with DataDirLock(data_dir):
            running = gatepost(*words, environment=environment, expect=1)
    assert stopped.stderr == (f"gatepost: no Gatepost with data_dir {data_dir} runs here: start it with gatepost run\n")
    assert "not as a Gatepost does" in running.stderr


def test_a_wrong_token(gatepost: Gatepost) -> None:
    failed = gatepost("ban", "list", environment={"GATEPOST_TOKEN": "gpt_wrong"}, expect=1)
    assert failed.stderr == "gatepost: this token is not known, is revoked or has expired: create another one\n"


def test_an_address_without_a_token(gatepost: Gatepost) -> None:
    failed = gatepost("ban", "list", environment={"GATEPOST_TOKEN": ""}, expect=1)
    assert failed.stderr.startswith("gatepost: GATEPOST_URL is set, but GATEPOST_TOKEN is not")


@pytest.mark.parametrize("url", ["gatepost.example", "ftp://gatepost.example", "http://"])
def test_an_address_that_is_none(gatepost: Gatepost, url: str) -> None:
    failed = gatepost("ban", "list", environment={"GATEPOST_URL": url}, expect=1)
    assert failed.stderr == f"gatepost: GATEPOST_URL {url!r} is no URL: write it like https://gatepost.example:8090\n"


@contextmanager
def hanging_up() -> Iterator[str]:
    """Somebody who takes each question and closes without a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                with taken:
                    taken.recv(65536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_an_answer_that_does_not_come_leaves_open_what_was_done(gatepost: Gatepost, tmp_path: Path) -> None:
    with hanging_up() as url:
        looked = gatepost("ban", "list", environment={"GATEPOST_URL": url}, expect=1)
        edited = gatepost("change", "reject", "3", environment={"GATEPOST_URL": url}, expect=1)
        file = tmp_path / "groups.csv"
        file.write_text("user,group\nann,sales\n")
        tried = gatepost("group", "import", str(file), environment={"GATEPOST_URL": url}, expect=1)
    assert tried.stderr == looked.stderr
    assert looked.stderr == f"gatepost: Gatepost at {url} did not answer: see its log\n"
    left_open = "so it is not known whether this was done: see its log"
    assert edited.stderr == f"gatepost: Gatepost at {url} did not answer, {left_open}\n"
