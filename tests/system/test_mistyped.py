"""What an operator reads when settings, files or addresses are wrong: one sentence, exit 1, and nothing round it.

``docs/reference/errors.md`` lists the sentences; what is printed here must stand there word by word. Nothing gets as
far as being started, so the command runs in the test's own process.
"""

import logging
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.support.phone_certificates import make_certificates
from tests.system.desk import DEFAULTS, IN_USE, documented, https, written


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with settings and certificates, which is the working directory."""
    for name in [name for name in os.environ if name.startswith("GATEPOST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gatepost.toml").write_text(DEFAULTS)
    (tmp_path / "other").mkdir()
    for directory in (tmp_path, tmp_path / "other"):
        make_certificates(directory)
    (tmp_path / "garbage.pem").write_text("no PEM at all\n")
    (tmp_path / "mistyped.toml").write_text(DEFAULTS + '[log]\nlevle = "info"\n')
    (tmp_path / "cut.toml").write_text(DEFAULTS + '[log]\nlevel = "inf')
    words = ("openssl", "pkcs8", "-topk8", "-in", "server.key", "-out", "sealed.key", "-passout", "pass:secret")
    subprocess.run(words, check=True, capture_output=True)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield tmp_path
    # A start that gets far enough sets up logging, for this whole process.
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


MISTAKES: dict[str, tuple[dict[str, str], str]] = {
    "a key that is none": (
        {"GATEPOST_CONFIG": "mistyped.toml"},
        "mistyped.toml: [log] levle is no setting: did you mean level?",
    ),
    "a variable that is none": (
        {"GATEPOST_HTTP__UPSTRAEM": "https://mail.internal"},
        "GATEPOST_HTTP__UPSTRAEM is no setting: did you mean upstream?",
    ),
    "a section that is none": (
        {"GATEPOST_HTP__UPSTREAM": "https://mail.internal"},
        "GATEPOST_HTP__UPSTREAM is no setting: did you mean [http]?",
    ),
    "a variable with one underscore too few": (
        {"GATEPOST_HTTP_UPSTREAM": "https://mail.internal"},
        "GATEPOST_HTTP_UPSTREAM is no setting: did you mean GATEPOST_HTTP__UPSTREAM?",
    ),
    "a settings file that is not there": (
        {"GATEPOST_CONFIG": "nowhere.toml"},
        "nowhere.toml cannot be read (No such file or directory): "
        "name a file that is there and that this user may read",
    ),
    "a settings file that was cut": (
        {"GATEPOST_CONFIG": "cut.toml"},
        "cut.toml is no TOML file: Unterminated string (at end of document): correct that place (https://toml.io)",
    ),
    "a mail server without scheme": (
        {"GATEPOST_HTTP__UPSTREAM": "mail.internal"},
        "GATEPOST_HTTP__UPSTREAM: [http] upstream: 'mail.internal' is no mail server: "
        "write scheme and host only, like https://mail.internal",
    ),
    "a mail server with a path": (
        {"GATEPOST_HTTP__UPSTREAM": "https://mail.internal/owa"},
        "GATEPOST_HTTP__UPSTREAM: [http] upstream: 'https://mail.internal/owa' is no mail server: "
        "write scheme and host only, like https://mail.internal",
    ),
    "a mail server with a port too large": (
        {"GATEPOST_HTTP__UPSTREAM": "https://mail.internal:99999"},
        "GATEPOST_HTTP__UPSTREAM: [http] upstream: this is no URL with a port from 0 to 65535: "
        "write scheme and host only, like https://mail.internal",
    ),
    "no mail server": (
        {"GATEPOST_HTTP__UPSTREAM": ""},
        "[http] upstream is not set: write the mail server that phones are let through to, "
        'like upstream = ["https://mail.internal"], or set GATEPOST_HTTP__UPSTREAM',
    ),
    "a mail server for IMAP that is none": (
        {"GATEPOST_IMAP__UPSTREAM": "mail.internal:993"},
        "GATEPOST_IMAP__UPSTREAM: [imap] upstream: 'mail.internal:993' is no mail server: "
        "write scheme and host only, like imaps://mail.internal, or with imap or imap+starttls",
    ),
    "no mail server for IMAP": (
        {"GATEPOST_IMAP__LISTEN": "imap://127.0.0.1:0"},
        "[imap] upstream is not set: write the mail server that logins are proved at, "
        'like upstream = "imaps://mail.internal", or set GATEPOST_IMAP__UPSTREAM',
    ),
    "an asker's listener where anybody could ask": (
        {"GATEPOST_AUTHZ__LISTEN": "http://127.0.0.1:8070"},
        "[authz] listen http://127.0.0.1:8070 would answer anybody: name a file with a key in [authz] key_files "
        "(openssl rand -hex 32), use a unix socket, or https with [authz] client_ca",
    ),
    "a key for askers that is none": (
        {"GATEPOST_AUTHZ__LISTEN": "http://127.0.0.1:0", "GATEPOST_AUTHZ__KEY_FILES": "garbage.pem"},
        "[authz] key_files garbage.pem holds no key of 16 to 256 letters and digits in one line: "
        "write one into it (openssl rand -hex 32)",
    ),
    "a time zone that is none": (
        {"GATEPOST_NOTICES__TIME_ZONE": "Europe/Berln"},
        "GATEPOST_NOTICES__TIME_ZONE: [notices] time_zone: 'Europe/Berln' is no time zone known here: "
        "write one like Europe/Madrid",
    ),
    "a domain of people with an @": (
        {"GATEPOST_IDENTITY__DEFAULT_DOMAIN": "@corp.example"},
        "GATEPOST_IDENTITY__DEFAULT_DOMAIN: [identity] default_domain: '@corp.example' is no domain: "
        "write it like corp.example, without @, backslash or blanks",
    ),
    "a page for readers that no notice has a link to": (
        {"GATEPOST_NOTICES__LISTEN": "http://127.0.0.1:0"},
        "[notices] link is not set: write the address that readers reach it by, like https://mail-access.corp.example, "
        "or set GATEPOST_NOTICES__LINK",
    ),
    "a link in notices to a page that is not there": (
        {"GATEPOST_NOTICES__LINK": "https://mail-access.corp.example"},
        '[notices] listen is not set: write where the page behind it listens, like listen = ["http://127.0.0.1:8093"], '
        "or set GATEPOST_NOTICES__LISTEN",
    ),
    "a page for readers of notices that nobody gets": (
        {
            "GATEPOST_NOTICES__LISTEN": "http://127.0.0.1:0",
            "GATEPOST_NOTICES__LINK": "https://mail-access.corp.example",
        },
        "[notices] sender is not set, so nobody gets a link to the page of listen: write the address that notices come "
        "from, or set GATEPOST_NOTICES__SENDER",
    ),
    "a unix socket where there is no directory": (
        {"GATEPOST_POSTFIX__LISTEN": "unix:///nowhere/postfix.sock"},
        "[postfix] listen unix:///nowhere/postfix.sock: No such file or directory: choose a path in a directory that "
        "this user may write to, and a group that it belongs to",
    ),
    "a port that two parts share": (
        {"GATEPOST_HTTP__LISTEN": "http://127.0.0.1:8080", "GATEPOST_ADMIN__LISTEN": "http://127.0.0.1:8080"},
        "[admin] listen http://127.0.0.1:8080: [http] listen has the same address: choose another port for one of them",
    ),
    "an address of another machine": (
        {"GATEPOST_HTTP__LISTEN": "http://192.0.2.7:8080"},
        "[http] listen http://192.0.2.7:8080: this machine has no such address: use one of its own, or 0.0.0.0 for all",
    ),
    "https without certificate": (
        https(""),
        "https://127.0.0.1:0 needs a certificate: set [tls] certificate and key to PEM files",
    ),
    "IMAP or POP3 without certificate": (
        {"GATEPOST_POP3__LISTEN": "pop3://127.0.0.1:0", "GATEPOST_POP3__UPSTREAM": "pop3s://mail.internal"},
        "pop3://127.0.0.1:0 needs a certificate, or nobody could log in: set [tls] certificate and key to PEM files, "
        "or [pop3] cleartext_login = true where TLS ends before it",
    ),
    "client certificates that nobody asks for": (
        {"GATEPOST_IDENTITY__DEMAND": '{"imap": "certificate"}'},
        "[identity] demand = { imap } needs certificates of clients, but [tls] client_ca is not set: name the PEM file "
        "of the authorities that issue them",
    ),
    "a device credential where there is no place for one": (
        {"GATEPOST_IDENTITY__DEMAND": '{"activesync": "either"}'},
        "GATEPOST_IDENTITY__DEMAND: [identity] demand: nobody can show a device credential by activesync: write "
        'activesync = "certificate", or "none"',
    ),
    "a certificate that is not there": (
        https("nowhere.pem", "server.key"),
        "[tls] certificate: there is no file nowhere.pem: name a PEM file that this user may read",
    ),
    "a certificate that is none": (
        https("garbage.pem", "server.key"),
        "[tls] certificate garbage.pem holds no PEM certificate: "
        "name a file that holds the server's certificate first, then its issuers",
    ),
    "a key that is no key": (
        https("server.pem", "garbage.pem"),
        "[tls] key garbage.pem holds no private key: name a PEM file with the certificate's key",
    ),
    "a certificate without a key": (
        https("server.pem"),
        "[tls] certificate server.pem holds no private key: set [tls] key to the file of its key",
    ),
    "a key that does not fit": (
        https("server.pem", "other/server.key"),
        "[tls] key other/server.key is not the key of server.pem: name the key that this certificate was made for",
    ),
    "a key with a passphrase": (
        https("server.pem", "sealed.key"),
        "[tls] key sealed.key is protected by a passphrase, and nobody is here to type it: "
        "write the key without one (openssl pkey -in sealed.key -out NEW)",
    ),
    "an authority that is none": (
        {"GATEPOST_HTTP__UPSTREAM_CA": "garbage.pem"},
        "[http] upstream_ca garbage.pem holds no PEM certificates of authorities (NO_CERTIFICATE_OR_CRL_FOUND): "
        "name a file that holds the certificate of the issuer",
    ),
    "a data_dir that is a file": (
        {"GATEPOST_GATEWAY__DATA_DIR": "garbage.pem"},
        "[gateway] data_dir /etc/gatepost/garbage.pem cannot be used (File exists): "
        "name a directory that this user may write",
    ),
    "a database of another kind": (
        {"GATEPOST_STORAGE__URL": "oracle://db/gatepost"},
        "GATEPOST_STORAGE__URL: [storage] url: write nothing for SQLite in data_dir, sqlite:////absolute/path.db, or postgresql://user:password@host/database",
    ),
    "a cache of another kind": (
        {"GATEPOST_REDIS__URL": "http://cache"},
        'GATEPOST_REDIS__URL: [redis] url: write "embedded", or a URL like unix:///run/redis.sock, '
        "redis://host:6379, rediss://host:6379",
    ),
    "an embedded cache server that is not there": (
        {"GATEPOST_REDIS__BINARY": "/opt/valkey-server"},
        "[redis] binary /opt/valkey-server is no program that this user may run: name another, or leave it empty",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_start_that_cannot_be(place: Path, mistake: str) -> None:
    environment, sentence = MISTAKES[mistake]
    result = CliRunner().invoke(app, ["run"], env=environment)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.replace(str(place), "/etc/gatepost") == written(sentence)
    assert documented(sentence), sentence


def test_no_cache_server_at_all(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.files", lambda name: None)
    result = CliRunner().invoke(app, ["run"], env={"PATH": str(place)})
    sentence = (
        "no Valkey or Redis server was found: install the package valkey-server (or redis-server), "
        "or set [redis] binary to the program, or [redis] url to a server that runs already"
    )
    assert (result.exit_code, result.stderr) == (1, written(sentence))
    assert documented(sentence)


def test_a_gateway_alone_has_no_cache_of_its_own(place: Path) -> None:
    result = CliRunner().invoke(app, ["run", "--role", "gateway"])
    sentence = (
        "[redis] url is embedded, which a --role gateway does not start: "
        "write the URL of the server that the control process uses, or set GATEPOST_REDIS__URL"
    )
    assert (result.exit_code, result.stderr) == (1, written(sentence))
    assert documented(sentence)


def test_wrong_usage_is_2(place: Path) -> None:
    for words in (["run", "--role", "nobody"], ["runn"], ["flag", "set"], ["status", "--nonsense"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2, words
        assert "Error" in result.stderr
        assert "Traceback" not in result.stderr


CLIENTS: dict[str, tuple[dict[str, str], str]] = {
    "no gateway has run here": (
        {},
        "no Gatepost with data_dir var runs here: start it with gatepost run",
    ),
    "no token": (
        {"GATEPOST_ADMIN__LISTEN": "http://127.0.0.1:9"},
        "no token: var/admin-token is not there (the first gatepost run writes it); "
        "elsewhere set GATEPOST_URL and GATEPOST_TOKEN",
    ),
    "nobody listens": (
        {"GATEPOST_ADMIN__LISTEN": "http://127.0.0.1:9", "GATEPOST_TOKEN": "gp_anything"},
        "no Gatepost answers at http://127.0.0.1:9: is it running (gatepost run)?",
    ),
    "an address without token": (
        {"GATEPOST_URL": "https://gatepost.example:8090"},
        "GATEPOST_URL is set, but GATEPOST_TOKEN is not: set it to a token made by gatepost token create",
    ),
    "an address that is none": (
        {"GATEPOST_URL": "gatepost.example:8090", "GATEPOST_TOKEN": "gp_anything"},
        "GATEPOST_URL 'gatepost.example:8090' is no URL: write it like https://gatepost.example:8090",
    ),
}


@pytest.mark.parametrize("mistake", CLIENTS)
def test_a_client_that_reaches_nobody(place: Path, mistake: str) -> None:
    environment, sentence = CLIENTS[mistake]
    result = CliRunner().invoke(app, ["status"], env=environment)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", written(sentence))
    assert documented(sentence), sentence


def test_a_port_of_another_program(place: Path) -> None:
    with socket.socket() as taken:
        # As generous as a program can be: even so the port is not shared.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        result = CliRunner().invoke(app, ["run"], env={"GATEPOST_HTTP__LISTEN": url})
    assert (result.exit_code, result.stderr) == (
        1,
        written(f"[http] listen {url}: {IN_USE.replace('8080', str(port))}"),
    )
