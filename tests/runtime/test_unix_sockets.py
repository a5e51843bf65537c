"""Unix sockets among the listeners: shared by all workers, open to whom their mode lets in."""

import grp
import os
import socket
import stat
from pathlib import Path

import pytest

from gateway.runtime.sockets import CannotListen, PortInUse, bind_all, close_all, listening, try_listening
from gateway.runtime.unix_sockets import UnixAddress, unix_address


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_one_socket_for_all_workers(tmp_path: Path) -> None:
    path = tmp_path / "authz.sock"
    bound = bind_all({"authz": [f"unix://{path}"]}, 3, per_worker=("authz",), environment={})
    try:
        (only,) = bound
        assert (only.worker, only.secure, listening(bound)) == (0, False, {"authz": [f"unix://{path}"]})
        assert mode_of(path) == 0o660
        assert not only.socket.get_inheritable()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    finally:
        close_all(bound)


def test_mode_and_group(tmp_path: Path) -> None:
    path, group = tmp_path / "authz.sock", grp.getgrgid(os.getgid()).gr_name
    close_all(bind_all({"authz": [f"unix://{path}?mode=0622&group={group}"]}, 1, environment={}))
    assert (mode_of(path), path.stat().st_gid) == (0o622, os.getgid())


def test_what_an_earlier_run_left_is_replaced(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/authz.sock"
    close_all(bind_all({"authz": [url]}, 1, environment={}))
    again = bind_all({"authz": [url]}, 1, environment={})
    try:
        with pytest.raises(PortInUse, match=r"\[authz\] listen unix:///.*: another program listens there"):
            bind_all({"authz": [url]}, 1, environment={})
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{tmp_path}/authz.sock")
    finally:
        close_all(again)


def test_no_file_of_somebody_else_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "mail.txt"
    path.write_text("kept")
    with pytest.raises(CannotListen, match="there is a file that is no socket"):
        bind_all({"authz": [f"unix://{path}"]}, 1, environment={})
    assert path.read_text() == "kept"


def test_trying_leaves_nothing(tmp_path: Path) -> None:
    try_listening("authz", f"unix://{tmp_path}/authz.sock")
    assert list(tmp_path.iterdir()) == []


def test_two_parts_at_one_path(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/authz.sock"
    with pytest.raises(PortInUse, match="has the same address"):
        bind_all({"authz": [url], "postfix": [f"{url}?mode=0600"]}, 1, environment={})


@pytest.mark.parametrize("url", ["unix:///absent/authz.sock", "unix:///tmp/x.sock?group=no-such-group"])
def test_where_one_cannot_listen(url: str) -> None:
    with pytest.raises(CannotListen, match=r"choose a path|no such group"):
        bind_all({"authz": [url]}, 1, environment={})


def test_systemds_socket_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its path."""
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(f"{tmp_path}/authz.sock")
        held.listen()
        monkeypatch.setattr("gateway.runtime.sockets._held_by_systemd", lambda environment: [held])
        (taken,) = bind_all({"authz": [f"unix://{tmp_path}/authz.sock"]}, 2, environment={})
        assert taken.socket is held


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("unix:///run/a.sock", UnixAddress("/run/a.sock")),
        ("unix:///run/a.sock?mode=666", UnixAddress("/run/a.sock", 0o666)),
        ("unix:///run/a.sock?mode=0600&group=www-data", UnixAddress("/run/a.sock", 0o600, "www-data")),
    ],
)
def test_addresses(url: str, address: UnixAddress) -> None:
    assert unix_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        *("unix://run/a.sock", "unix:///run/a.sock?mode=9", "unix:///run/a.sock?mode=0660&mode=0666"),
        *("unix:///run/a.sock?owner=x", "unix:///run/a.sock?group=a b", "unix:///" + "a" * 120, "unix:///a#b"),
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"write it like unix:///run/gatepost/authz\.sock"):
        unix_address(url)
