"""What ``gatepost check`` says about others on the machine and on the network."""

from pathlib import Path
from typing import Any

import pytest

from gateway.app.exposed import exposed
from gateway.settings import Settings


def told(data_dir: Path, **sections: dict[str, Any]) -> list[str]:
    return exposed(Settings.model_validate({"gateway": {"data_dir": str(data_dir)}, **sections}))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    for name in ("gatepost.db", "admin-token", "notice-key"):
        (tmp_path / name).touch(0o600)
    return tmp_path


def test_as_it_comes_nothing_is_exposed(data_dir: Path) -> None:
    assert told(data_dir, http={"upstream": ["https://mail.internal"]}) == []
    assert told(data_dir / "not-there") == []


@pytest.mark.parametrize("name", ["gatepost.db", "admin-token", "notice-key"])
def test_a_file_that_others_may_read(data_dir: Path, name: str) -> None:
    (data_dir / name).chmod(0o640)
    assert told(data_dir) == []
    data_dir.chmod(0o755)
    (sentence,) = told(data_dir)
    assert f"may read {data_dir / name}" in sentence
    assert "chmod 600" in sentence


def test_a_directory_that_others_may_write(data_dir: Path) -> None:
    data_dir.chmod(0o770)
    assert ["chmod 700" in sentence for sentence in told(data_dir)] == [True]


@pytest.mark.parametrize("part", ["admin", "inventory", "http", "notices"])
@pytest.mark.parametrize(
    ("url", "in_clear"),
    [
        ("http://0.0.0.0:8000", True),
        ("http://[::]:8000", True),
        ("http://192.0.2.1:8000", True),
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000", False),
        ("https://0.0.0.0:8000", False),
    ],
)
def test_listeners(data_dir: Path, part: str, url: str, in_clear: bool) -> None:
    found = told(data_dir, **{part: {"listen": [url]}})
    assert [f"[{part}] listen {url}" in sentence for sentence in found] == ([True] if in_clear else [])


@pytest.mark.parametrize(
    ("part", "url", "in_clear"),
    [
        ("authz", "http://10.0.0.1:8070", True),
        ("authz", "http://127.0.0.1:8070", False),
        ("authz", "https://10.0.0.1:8070", False),
        ("authz", "unix:///run/gatepost/authz.sock", False),
        ("haproxy", "tcp://10.0.0.1:8071", True),
        ("postfix", "tcp://10.0.0.1:8072", True),
        ("postfix", "tcp://127.0.0.1:8072", False),
        ("postfix", "unix:///run/gatepost/postfix.sock?mode=0660", False),
        ("envoy", "grpc://10.0.0.1:8073", True),
        ("envoy", "grpc://[::1]:8073", False),
        ("envoy", "grpcs://10.0.0.1:8073", False),
    ],
)
def test_askers(data_dir: Path, part: str, url: str, in_clear: bool) -> None:
    found = told(data_dir, **{part: {"listen": [url]}})
    assert [f"[{part}] listen {url}" in sentence for sentence in found] == ([True] if in_clear else [])


def test_servers(data_dir: Path) -> None:
    (mail,) = told(data_dir, http={"upstream": ["http://mail.internal"]})
    assert "[http] upstream mail.internal" in mail
    (cache,) = told(data_dir, redis={"url": "redis://gatepost:geheim@cache.internal:6379/1"})
    assert "[redis] url cache.internal:6379" in cache
    assert "geheim" not in cache
    for url in ("redis://localhost:6379", "unix:///run/valkey.sock", "rediss://cache.internal", "embedded"):
        assert told(data_dir, redis={"url": url}) == []


def test_what_cuts(data_dir: Path) -> None:
    cut = {"askers": ["dovecot"], "doveadm": "http://10.0.0.1:8080", "key_file": "/x"}
    (doveadm,) = told(data_dir, authz={"cuts": [cut]})
    assert "[authz] cuts: http://10.0.0.1:8080" in doveadm
    (haproxy,) = told(data_dir, haproxy={"runtime": ["tcp://10.0.0.1:9999"]})
    assert "[haproxy] runtime tcp://10.0.0.1:9999" in haproxy
    assert told(data_dir, authz={"cuts": [{**cut, "doveadm": "http://127.0.0.1:8080"}]}) == []
    assert told(data_dir, haproxy={"runtime": ["unix:///run/haproxy/gatepost.sock", "tcp://127.0.0.1:9999"]}) == []


CLEAR, SECURE, UPGRADED = "{}://", "{}s://", "{}+starttls://"


@pytest.mark.parametrize("part", ["imap", "pop3"])
@pytest.mark.parametrize(
    ("listen", "upstream", "cleartext_login", "in_clear"),
    [
        pytest.param([CLEAR + "0.0.0.0:1"], SECURE + "mail.internal", False, 0, id="nobody logs in without TLS"),
        pytest.param([CLEAR + "0.0.0.0:1"], SECURE + "mail.internal", True, 1, id="they may"),
        pytest.param([CLEAR + "127.0.0.1:1"], SECURE + "mail.internal", True, 0, id="on this machine"),
        pytest.param([SECURE + "0.0.0.0:1"], UPGRADED + "mail.internal", False, 0, id="TLS on both sides"),
        pytest.param([SECURE + "0.0.0.0:1"], CLEAR + "mail.internal", False, 1, id="none behind us"),
        pytest.param([], CLEAR + "mail.internal", False, 0, id="off"),
    ],
)
def test_mail_programs(
    data_dir: Path, part: str, listen: list[str], upstream: str, cleartext_login: bool, in_clear: int
) -> None:
    section = {
        "listen": [each.format(part) for each in listen],
        "upstream": upstream.format(part),
        "cleartext_login": cleartext_login,
    }
    assert len(told(data_dir, **{part: section})) == in_clear
