"""What an operator reads when something that Gatepost works with is wrong, by real processes.

Each command ends in one sentence with the remedy, exit 1, without a log line or a traceback round it, on a terminal
and in a pipe; ``docs/reference/errors.md`` has the sentences word by word. A gateway that runs says what it lacks.
"""

import asyncio
import base64
import json
import os
import pty
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.support.phone_certificates import make_certificates
from tests.support.raw_http import ask, eas, request
from tests.support.reporting import HARMLESS, Agent
from tests.support.running import Running, clean_environment, running
from tests.support.spine import FOLDER_SYNC, added_agent
from tests.support.upstream import mailbox_server
from tests.system.desk import DEFAULTS, IN_USE, WITHIN_SECONDS, Ended, documented, gatepost, https, written

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Office:
    """A gateway that runs, and a source of its."""

    gateway: Running
    agent: Agent
    directory: Path

    async def gatepost(self, *words: str, **environment: str) -> Ended:
        """Run a command with the gateway's settings."""
        more = {"GATEPOST_CONFIG": str(self.gateway.config), **environment}
        return await gatepost(*words, environment=more, directory=self.directory)

    async def send(self, file: Path, *, source: str = "agents", secret: str = "") -> Ended:
        """Send a report by hand."""
        secret = secret or self.agent.secret
        return await self.gatepost("report", "send", str(file), "--source", source, GATEPOST_SOURCE_SECRET=secret)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    directory = tmp_path_factory.mktemp("desk")
    async with (
        mailbox_server() as mailbox,
        running(directory, mailbox.url) as gateway,
        added_agent(gateway) as agent,
    ):
        yield Office(gateway, agent, directory)


async def test_a_second_one_here_and_elsewhere(office: Office, tmp_path: Path) -> None:
    port = office.gateway.http.rpartition(":")[2]
    here, elsewhere = await asyncio.gather(
        office.gatepost("run"),
        office.gatepost(
            "run", GATEPOST_GATEWAY__DATA_DIR=str(tmp_path / "var"), GATEPOST_HTTP__LISTEN=office.gateway.http
        ),
    )
    taken = "another Gatepost (pid 4711) uses [gateway] data_dir /var/lib/gatepost: "
    taken += "end it, or give this one a data_dir of its own"
    said = taken.replace("4711", str(office.gateway.process.pid))
    assert here == Ended(1, "", written(said.replace("/var/lib/gatepost", str(office.gateway.data_dir))))
    start = f"[http] listen {office.gateway.http}: "
    assert elsewhere == Ended(1, "", written(f"{start}{IN_USE.replace('8080', port)}"))
    assert documented(taken)
    assert documented(f"[http] listen http://127.0.0.1:8080: {IN_USE}")


async def test_what_only_a_child_finds_out_is_one_sentence_too(tmp_path: Path) -> None:
    """A database that is none, a cache server that ends at once, a missing directory: no log line round the sentence.

    On a terminal it is the same.
    """
    (tmp_path / "gatepost.toml").write_text(DEFAULTS)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "gatepost.db").write_bytes(b"something else " * 1000)
    ends_at_once = {"GATEPOST_REDIS__BINARY": "/bin/false", "GATEPOST_GATEWAY__DATA_DIR": "second"}
    elsewhere = {"GATEPOST_STORAGE__URL": "sqlite:////nowhere/gatepost.db", "GATEPOST_GATEWAY__DATA_DIR": "third"}
    no_database, no_cache, no_directory = await asyncio.gather(
        gatepost("run", environment={}, directory=tmp_path),
        gatepost("run", environment=ends_at_once, directory=tmp_path),
        _on_terminal("run", environment=elsewhere, directory=tmp_path),
    )
    sentence = "/var/lib/gatepost/gatepost.db is no database: "
    sentence += "set [storage] url to another file, or put a backup in its place"
    assert no_database == Ended(1, "", written(sentence.replace("/var/lib/gatepost", f"{tmp_path}/var")))
    assert documented(sentence)
    sentence = "the embedded cache server does not start: /bin/false ended with code 1: it said nothing: "
    sentence += "correct that (valkey/valkey.log in data_dir may say more), or set [redis] url to a server that runs"
    assert no_cache == Ended(1, "", written(sentence))
    assert documented(sentence)
    sentence = "the directory /nowhere for the database is missing: make it, or change [storage] url"
    assert no_directory == Ended(1, written(sentence), "")
    assert documented(sentence)


async def _on_terminal(*words: str, environment: dict[str, str], directory: Path) -> Ended:
    """Run a command on a terminal, where both outputs are one."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli.main", *words),
        cwd=directory,
        env=clean_environment(environment),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        seen = await asyncio.wait_for(asyncio.to_thread(_all_of, ours), WITHIN_SECONDS)
        return Ended(await process.wait(), seen, "")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


def _all_of(terminal: int) -> str:
    seen = b""
    try:
        while chunk := os.read(terminal, 65536):
            seen += chunk
    except OSError:
        # Linux says EIO when the last writer is gone.
        pass
    return seen.decode().replace("\r\n", "\n")


UNABLE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
"""Takes from root what lets it read and write everything."""


async def test_a_user_who_may_not(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    (tmp_path / "gatepost.toml").write_text(DEFAULTS)
    (tmp_path / "server.key").chmod(0)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    sealed = tmp_path / "sealed.toml"
    sealed.touch(mode=0)
    theirs = tmp_path / "theirs" / "valkey"
    theirs.mkdir(parents=True)
    theirs.joinpath("valkey.log").touch(mode=0o400)
    key, data_dir, config, cache = await asyncio.gather(
        gatepost("run", environment=https("server.pem", "server.key"), directory=tmp_path, by=UNABLE),
        gatepost("run", environment={"GATEPOST_GATEWAY__DATA_DIR": "closed/var"}, directory=tmp_path, by=UNABLE),
        gatepost("run", environment={"GATEPOST_CONFIG": "sealed.toml"}, directory=tmp_path, by=UNABLE),
        gatepost("run", environment={"GATEPOST_GATEWAY__DATA_DIR": "theirs"}, directory=tmp_path, by=UNABLE),
    )
    sentence = "[tls] key server.key cannot be read (Permission denied): name a file that this user may read"
    assert key == Ended(1, "", written(sentence))
    assert documented(sentence)
    sentence = "[gateway] data_dir /closed/var cannot be used (Permission denied): "
    sentence += "name a directory that this user may write"
    assert data_dir == Ended(1, "", written(sentence.replace("/closed", str(closed))))
    assert documented(sentence)
    sentence = "sealed.toml cannot be read (Permission denied): name a file that is there and that this user may read"
    assert config == Ended(1, "", written(sentence))
    assert documented(sentence)
    sentence = (
        "the embedded cache server does not start: /var/lib/gatepost/valkey/valkey.log is not this user's to write "
    )
    sentence += (
        "(Permission denied); give it to this user, or remove it: correct that (valkey/valkey.log in data_dir may "
    )
    sentence += "say more), or set [redis] url to a server that runs"
    assert cache == Ended(1, "", written(sentence.replace("/var/lib/gatepost", f"{tmp_path}/theirs")))
    assert documented(sentence)


async def test_a_user_who_may_not_even_look(tmp_path: Path) -> None:
    """A directory that nobody but its owner may enter, as /etc/ssl/private and root's own are."""
    make_certificates(tmp_path)
    (tmp_path / "gatepost.toml").write_text(DEFAULTS)
    closed = tmp_path / "closed"
    closed.mkdir()
    for name in ("gatepost.toml", "gatepost.db", "admin-token"):
        (closed / name).touch()
    closed.chmod(0)
    settings, place = {"GATEPOST_GATEWAY__DATA_DIR": str(closed)}, str(closed)
    key, migrated, looked = await asyncio.gather(
        gatepost("run", environment=https("server.pem", f"{closed}/server.key"), directory=tmp_path, by=UNABLE),
        gatepost("migrate", environment=settings, directory=tmp_path, by=UNABLE),
        gatepost("check", environment=settings, directory=tmp_path, by=UNABLE),
    )
    sentence = "[tls] key: /etc/ssl/private/server.key cannot be reached (Permission denied): "
    sentence += "name a PEM file that this user may read"
    assert key == Ended(1, "", written(sentence.replace("/etc/ssl/private", place)))
    assert documented(sentence)
    sentence = "the database /var/lib/gatepost/gatepost.db cannot be reached (Permission denied): "
    sentence += "do this as the gateway's user, or as root"
    assert migrated == Ended(1, "", written(sentence.replace("/var/lib/gatepost", place)))
    assert documented(sentence)
    assert (looked.code, looked.err) == (1, "")
    assert sentence.replace("/var/lib/gatepost", place) in looked.out


@pytest.fixture
def shut(tmp_path: Path) -> Path:
    """A directory with settings that only root may enter."""
    (tmp_path / "gatepost.toml").write_text(DEFAULTS)
    tmp_path.chmod(0)
    return tmp_path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can put somebody into a directory that he may not enter")
async def test_a_working_directory_that_may_not_be_entered(shut: Path) -> None:
    """As after ``sudo -u gatepost`` in root's own directory: it is no place of settings, and no failure."""
    ended = await gatepost("status", environment={}, directory=shut, by=UNABLE)
    assert ended.code == 1
    assert "Traceback" not in ended.err


async def test_a_wrong_token_and_a_wrong_address(office: Office) -> None:
    token, address = await asyncio.gather(
        office.gatepost("status", GATEPOST_TOKEN="gp_wrong"),
        office.gatepost("status", GATEPOST_URL=office.gateway.http, GATEPOST_TOKEN="gp_wrong"),
    )
    sentence = "this token is not known, is revoked or has expired: create another one"
    assert token == Ended(1, "", written(sentence))
    assert documented(sentence)
    sentence = "http://127.0.0.1:8080 answered 404, not as a Gatepost does: check the address"
    assert address == Ended(1, "", written(sentence.replace("http://127.0.0.1:8080", office.gateway.http)))
    assert documented(sentence)


# --- mail server and cache that are there, but not right: the gateway runs, and says so


@pytest_asyncio.fixture(loop_scope="module")
async def untrusted(tmp_path: Path) -> AsyncIterator[tuple[int, int, Path]]:
    """A mail server whose certificate is of an authority of its own: its port at localhost, which the certificate is
    for, the one at 127.0.0.2, which it is not for, and the authority."""
    made = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    right = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    other = await asyncio.start_server(serve, "127.0.0.2", 0, ssl=context)
    async with right, other:
        ports = [server.sockets[0].getsockname()[1] for server in (right, other)]
        yield ports[0], ports[1], made.authority


async def test_a_mail_server_that_cannot_be_trusted(untrusted: tuple[int, int, Path], tmp_path: Path) -> None:
    port, other_port, authority = untrusted
    (tmp_path / "gatepost.toml").write_text(DEFAULTS)
    another_name = {
        "GATEPOST_HTTP__UPSTREAM": f"https://127.0.0.2:{other_port}",
        "GATEPOST_HTTP__UPSTREAM_CA": str(authority),
    }
    closed = {"GATEPOST_HTTP__UPSTREAM": "http://127.0.0.1:9", "GATEPOST_REDIS__URL": "redis://127.0.0.1:9"}
    local = {"GATEPOST_HTTP__UPSTREAM": f"https://localhost:{port}"}
    # In a thread of this process: three more interpreters would take as long as all the rest.
    checks = [await asyncio.to_thread(_check, tmp_path, each) for each in (local, another_name, closed)]
    assert [(check.code, check.err) for check in checks] == [(1, "")] * 3
    untrusted_row, another_row, closed_row = (_row(check, "mail server") for check in checks)
    sentence = "[http] upstream https://mail.internal: its certificate is not trusted "
    sentence += "(unable to get local issuer certificate): name its issuer's certificate in [http] upstream_ca"
    assert untrusted_row == sentence.replace("mail.internal", f"localhost:{port}")
    assert documented(sentence)
    sentence = "[http] upstream https://127.0.0.2: its certificate is for another name "
    sentence += "(IP address mismatch, certificate is not valid for '127.0.0.2'): "
    sentence += "write the name that it is for into [http] upstream"
    assert another_row == sentence.replace("https://127.0.0.2", f"https://127.0.0.2:{other_port}")
    assert documented(sentence)
    sentence = "[http] upstream http://127.0.0.1:9: connection refused: "
    sentence += "is that its address, does it run, may this machine reach it?"
    assert closed_row == sentence
    assert documented(sentence)
    sentence = "Redis at 127.0.0.1:9: connection refused: is [redis] url right, and does that server run?"
    assert _row(checks[2], "cache") == sentence
    assert documented(sentence)


def _check(directory: Path, environment: dict[str, str]) -> Ended:
    words = ["check", "--json", "--config", str(directory / "gatepost.toml")]
    result = CliRunner().invoke(app, words, env={"GATEPOST_GATEWAY__DATA_DIR": str(directory / "var"), **environment})
    return Ended(result.exit_code, result.stdout, result.stderr)


def _row(check: Ended, what: str) -> str:
    rows = [each for each in json.loads(check.out)["checks"] if each["what"].startswith(what)]
    assert [each["state"] for each in rows] == ["failed"]
    return str(rows[0]["sentence"])


async def test_a_gateway_says_what_it_runs_without(untrusted: tuple[int, int, Path], tmp_path: Path) -> None:
    """Neither the mail server nor the shared cache is needed to start: both are told, and phones are told to wait."""
    port, _, _ = untrusted
    directory = tmp_path / "run"
    directory.mkdir()
    more = '[redis]\nurl = "redis://:hidden@127.0.0.1:9"\n'
    async with running(directory, f"https://localhost:{port}", more=more) as gateway:
        answer = await ask(gateway.http, request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC, user="anna"))
        assert (answer.status, answer.header("Retry-After")) == (503, "30")
        async with asyncio.timeout(20):
            while not _told(gateway, "feed_unavailable"):  # noqa: ASYNC110  (a line of another process)
                await asyncio.sleep(0.05)
    trusted = "its certificate is not trusted (unable to get local issuer certificate)"
    assert any(trusted in str(each["reason"]) for each in _told(gateway, "upstream_unavailable"))
    # Once from the control process and once from the worker, not once a second.
    told = _told(gateway, "feed_unavailable")
    assert {each["error"] for each in told} == {"Redis at 127.0.0.1:9: connection refused"}
    assert len(told) <= 2
    assert "hidden" not in str(gateway.log)


def _told(gateway: Running, event: str) -> list[dict[str, object]]:
    return [each for each in gateway.log if each["event"] == event]


# --- reports that are not right


def _cut(event: dict[str, Any]) -> None:
    event["data"]["app_count"] = 60


def _future(event: dict[str, Any]) -> None:
    at = (datetime.now(UTC) + timedelta(hours=2)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event["time"] = event["data"]["generated_at"] = at


def _without_device(event: dict[str, Any]) -> None:
    del event["data"]["device"]


REPORTS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a list that was cut": (_cut, "/data: app_count is 60 but 3 apps are listed: the list was cut"),
    "a list of tomorrow": (
        _future,
        "the report was generated in the future: set the clock of the device and send a new report",
    ),
    "no device": (_without_device, "/data/device: Field required"),
}


@pytest.mark.parametrize("mistake", REPORTS)
async def test_a_report_that_is_not_right(office: Office, mistake: str) -> None:
    """Through the receiver as an agent hears it, and by hand as an operator reads it: the same sentence."""
    spoil, sentence = REPORTS[mistake]
    event: dict[str, Any] = office.agent.event("anna", "PHONE1", HARMLESS)
    spoil(event)
    answer = await office.agent.send(event)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == sentence
    file = office.directory / "report.json"
    file.write_text(json.dumps({**event, "id": f"{event['id']}-again"}))
    assert await office.send(file) == Ended(1, "", written(sentence))
    assert documented(sentence)


async def test_a_report_by_somebody_else(office: Office) -> None:
    file = office.directory / "theirs.json"
    file.write_text(json.dumps(office.agent.event("anna", "PHONE1", HARMLESS)))
    sentence = "not taken as of source agents: no source's secret fits the signature: "
    sentence += "sign the octets that are sent, with the secret that adding the source showed"
    other_secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    stranger = Agent(office.gateway.inventory, other_secret)
    answer = await stranger.send(stranger.event("anna", "PHONE1", HARMLESS))
    await stranger.client.aclose()
    assert (answer.status_code, answer.json()["detail"]) == (401, sentence.partition(": ")[2])
    assert await office.send(file, secret=other_secret) == Ended(1, "", written(sentence))
    assert documented(sentence)
    sentence = "the secret cannot sign: a source's secret begins with whsec_ (shared), whpk_ (public key) "
    sentence += "or whsk_ (private key)"
    assert await office.send(file, secret="secret") == Ended(1, "", written(sentence))
    assert documented(sentence)


async def test_a_report_that_claims_to_see_more_than_its_source_may(office: Office) -> None:
    added = json.loads(
        await office.gateway.gatepost(
            *("source", "add", "profile", "--kind", "push", "--devices", "*", "--scope", "work_profile", "--json")
        )
    )
    agent = Agent(office.gateway.inventory, added["secret"])
    file = office.directory / "wide.json"
    file.write_text(json.dumps(agent.event("berta", "PHONE2", HARMLESS)))
    taken = (await agent.send(agent.event("carla", "PHONE3", HARMLESS))).json()
    assert (taken["status"], taken["scope_capped_to"]) == ("applied", "work_profile")
    await agent.client.aclose()
    ended = await office.send(file, source="profile", secret=added["secret"])
    sentence = "it counts with scope work_profile, the widest that source profile may claim"
    assert (ended.code, ended.err) == (0, f"warning: {sentence}\n")
    assert documented(f"warning: {sentence}")
