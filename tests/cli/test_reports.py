"""``gatepost report send`` against the real receiver: what it prints for each answer, and every way to fail."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.inventory.consequences import Evidence
from gateway.inventory.ingest import Ingest
from gateway.inventory.sources.push.receiver import create_receiver
from tests.cli.conftest import Gatepost
from tests.cli.test_client import hanging_up, web_server
from tests.support.control import RULES, Control
from tests.support.served_control import Served, served

SUBJECT = "android/3f5a"


@dataclass(slots=True)
class Receiving(Control):
    """A control process whose API has the receiver of reports beside it."""

    def api(self) -> FastAPI:
        """Both at one address."""
        ingest = Ingest(Evidence(self.store, RULES, self.publish, lambda: self.policy), lambda: self.now)
        api = Control.api(self)
        api.mount("", create_receiver(ingest, self.store, lambda: self.now))
        return api


@pytest.fixture
def api() -> Iterator[Served]:
    with structlog.testing.capture_logs(), served(Receiving(now=time.time())) as api:
        yield api


@pytest.fixture
def secret(gatepost: Gatepost, tmp_path: Path) -> Path:
    """The file with the secret of the source agents."""
    file = tmp_path / "agents.secret"
    file.write_text(gatepost("source", "add", "agents").stdout)
    return file


def event(sequence: int = 42, *, apps: int = 2, **inner: object) -> dict[str, Any]:
    """A report of now."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "specversion": "1.0",
        "id": f"report/{sequence}.0",
        "source": "https://agent.example/fleet",
        "type": f"com.example.mailgateway.app-inventory.{inner.get('kind', 'full')}.v1",
        "subject": SUBJECT,
        "time": at,
        "data": {
            "kind": "full",
            "scope": "device",
            "generated_at": at,
            "sequence": sequence,
            "device": {"ids": [{"type": "user", "value": "ann@corp.example"}]},
            "app_count": apps,
            "apps": [{"platform": "android", "id": f"com.example.app{number}"} for number in range(apps)],
            **inner,
        },
    }


@dataclass(frozen=True, slots=True)
class Sender:
    """Writes a report down and sends it."""

    gatepost: Gatepost
    url: str
    directory: Path
    secret: Path

    def __call__(self, content: object, *words: str, expect: int = 0) -> Result:
        file = self.directory / "report.json"
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        usual = ("--source", "agents", "--secret-file", str(self.secret), "--url", self.url)
        return self.gatepost("report", "send", str(file), *usual, *words, expect=expect)


@pytest.fixture
def send(gatepost: Gatepost, api: Served, tmp_path: Path, secret: Path) -> Sender:
    return Sender(gatepost, api.url, tmp_path, secret)


def test_what_the_receiver_makes_of_it(send: Sender, api: Served) -> None:
    first = event(42)
    applied = send(first)
    assert applied.stdout == "applied: the device stands at sequence 42; the next full list is due within 12 h\n"
    assert applied.stderr == ""
    assert "duplicate: this very report was sent before" in send(first).stdout
    old = event(41)
    old["data"]["generated_at"] = "2026-01-01T00:00:00Z"
    assert send(old).stdout == (
        "stale_ignored: a newer report of the device is stored (sequence 42); nothing changed\n"
    )

    async def stored() -> int:
        async with api.control.store.read() as reading:
            inventory = await reading.inventory("agents", SUBJECT)
        assert inventory is not None
        return len(inventory.apps)

    assert api.run(stored()) == 2


def test_a_delta_that_does_not_fit(send: Sender) -> None:
    send(event(42))
    refused = send(event(45, kind="delta", base_sequence=44), expect=1)
    assert refused.stdout == ""
    assert refused.stderr == ("gatepost: this delta does not fit, the stored sequence is 42: send a full report\n")


def test_the_same_id_with_another_content(send: Sender) -> None:
    first = event(42)
    send(first)
    first["data"]["sequence"] = 43
    assert "use a new id per message" in send(first, expect=1).stderr


def test_what_is_missing_is_filled_in_and_told(send: Sender) -> None:
    bare = event(42)
    del bare["id"], bare["time"]
    told = send(bare, "--json")
    answer = json.loads(told.stdout)
    assert answer["status"] == "applied"
    assert f"the event has no id: sent as {answer['id']}" in told.stderr
    assert f"the event has no time: sent with {bare['data']['generated_at']}" in told.stderr
    # Without a time only it is still the same message each time.
    timeless = event(43)
    del timeless["time"]
    assert json.loads(send(timeless, "--json").stdout)["status"] == "applied"
    assert json.loads(send(timeless, "--json").stdout)["status"] == "duplicate"


def test_what_is_wrong_with_a_report_is_told_all_at_once(send: Sender) -> None:
    wrong = event(42, scope="everything", app_count=-1)
    refused = send(wrong, expect=1)
    assert refused.stderr.startswith("gatepost: /data/scope: ")
    assert "; /data/app_count: " in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_warnings_beside_the_answer(gatepost: Gatepost, send: Sender, secret: Path) -> None:
    gatepost("source", "remove", "agents", "--yes")
    secret.write_text(gatepost("source", "add", "agents", "--scope", "work_profile").stdout)
    ids = [{"type": "mdm_id", "value": "m1"}, {"type": "eas_device_id", "value": "no id!"}]
    told = send(event(42, apps=50, device={"ids": ids}))
    assert "it counts with scope work_profile, the widest that source agents may claim" in told.stderr
    assert "left out: eas_device_id" in told.stderr
    assert "the list shrank unbelievably" in send(event(43, apps=1)).stderr


def test_a_large_report_travels_packed_and_counts_once(send: Sender) -> None:
    apps = [{"platform": "android", "id": f"com.example.app{n}", "name": f"{n:x}" * 50} for n in range(5000)]
    large = event(42, apps=0) | {"id": "large"}
    large["data"] |= {"apps": apps, "app_count": len(apps)}
    assert len(json.dumps(large)) > 2**20
    assert send(large).stdout.startswith("applied")
    assert send(large).stdout.startswith("duplicate")


def test_a_key_pair_signs(gatepost: Gatepost, api: Served, send: Sender, secret: Path) -> None:
    pair = Ed25519PrivateKey.generate()
    public = base64.b64encode(pair.public_key().public_bytes_raw()).decode()
    gatepost("source", "rotate", "agents", "--public-key", f"whpk_{public}")
    secret.write_text(f"whsk_{base64.b64encode(pair.private_bytes_raw()).decode()}\n")
    assert send(event(42)).stdout.startswith("applied")
    secret.write_text(f"whpk_{public}")
    assert "a public key cannot sign" in send(event(43), expect=1).stderr


def test_the_secret_from_the_environment_the_report_from_standard_input(api: Served, secret: Path) -> None:
    words = ("report", "send", "-", "--source", "agents", "--url", api.url)
    environment = {"GATEPOST_SOURCE_SECRET": secret.read_text()}
    sent = CliRunner().invoke(app, words, env=environment, input=json.dumps(event(42)))
    assert sent.stdout.startswith("applied")


def test_this_machines_gateway_is_found(gatepost: Gatepost, api: Served, secret: Path, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "listening.json").write_text(json.dumps({"inventory": [api.url], "admin": ["http://x:1"]}))
    config, file = tmp_path / "gatepost.toml", tmp_path / "report.json"
    config.write_text(f'[gateway]\ndata_dir = "{tmp_path / "var"}"\n')
    file.write_text(json.dumps(event(42)))
    # The secret in the environment is no setting, though its name begins like one.
    environment = {"GATEPOST_URL": "", "GATEPOST_SOURCE_SECRET": secret.read_text()}
    words = ("report", "send", str(file), "--source", "agents", "--config", str(config))
    assert gatepost(*words, environment=environment).stdout.startswith("applied")


def test_which_machine_is_not_guessed(gatepost: Gatepost, secret: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps(event(42)))
    words = ("report", "send", str(file), "--source", "agents", "--secret-file", str(secret))
    refused = gatepost(*words, expect=1)
    assert refused.stderr.startswith("gatepost: GATEPOST_URL names the admin API of another machine")
    refused = gatepost(*words, "--url", "gatepost.example", expect=1)
    assert "--url 'gatepost.example' is no URL" in refused.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "report.json is no JSON"),
        (b"{}{}", "one report per file"),
        (b'{"id": 1}\n{"id": 2}', "one report per file"),
        (b"[{}]", "is a list: send each report on its own"),
        (b'"report"', "is no object; a report is one CloudEvent"),
        (b'{"id": "a", "id": "b"}', "'id' stands twice"),
        (b"\xff", "report.json is not UTF-8"),
        (b" " * (4 << 20) + b" ", "more than 4194304 octets"),
    ],
)
def test_what_is_no_report_is_not_sent(send: Sender, content: bytes, words: str) -> None:
    assert words in send(content, expect=1).stderr


def test_a_wrong_secret(send: Sender, secret: Path) -> None:
    secret.write_text("whsec_" + base64.b64encode(bytes(32)).decode())
    refused = send(event(42), expect=1)
    assert refused.stderr.startswith("gatepost: not taken as of source agents: no source's secret fits the signature")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a source's secret begins with whsec_"),
        ("whsec_short", "the secret cannot sign"),
        ("whsec_c2VjcmV0", "the secret has 6 bytes"),
    ],
)
def test_what_is_no_secret_is_not_repeated(send: Sender, secret: Path, text: str, words: str) -> None:
    secret.write_text(text)
    refused = send(event(42), expect=1)
    assert words in refused.stderr
    assert not text or text not in refused.stderr


def test_no_secret(gatepost: Gatepost, send: Sender, secret: Path, tmp_path: Path) -> None:
    secret.unlink()
    assert f"{secret} cannot be read" in send(event(42), expect=1).stderr
    secret.write_bytes(b"\xff")
    assert f"{secret} is no text" in send(event(42), expect=1).stderr
    refused = gatepost("report", "send", str(tmp_path / "report.json"), "--source", "agents", expect=1)
    assert "name the file that holds it with --secret-file, or set GATEPOST_SOURCE_SECRET" in refused.stderr
    refused = gatepost(
        "report", "send", str(tmp_path / "none"), "--source", "a", "--secret-file", str(secret), expect=1
    )
    assert "is no text" in refused.stderr


def test_a_store_that_is_away(send: Sender, api: Served) -> None:
    control = api.control
    control.store.unavailable = "the disk is full"  # type: ignore[attr-defined]
    refused = send(event(42), expect=1)
    assert refused.stderr == (
        "gatepost: the report cannot be stored now: try again later (after 5 s; the same file counts once)\n"
    )
    control.store.unavailable = ""  # type: ignore[attr-defined]
    assert send(event(42)).stdout.startswith("applied")


def test_nobody_is_there_or_somebody_else(send: Sender) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        refused = send(event(42), "--url", url, expect=1)
    assert refused.stderr == f"gatepost: no Gatepost receives reports at {url}: is it running (gatepost run)?\n"
    with web_server(200, b"<html>") as url:
        assert "not as a Gatepost does: check the address" in send(event(42), "--url", url, expect=1).stderr
    with hanging_up() as url:
        lost = send(event(42), "--url", url, expect=1)
    assert lost.stderr == f"gatepost: {url} did not answer: send the same file again, it counts once\n"
    wrong = f"{send.url}/elsewhere"
    assert "is that the URL of [inventory] listen?" in send(event(42), "--url", wrong, expect=1).stderr
