"""Binding: real ports, one socket per worker, systemd's sockets, and the sentences for what goes wrong."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.runtime.sockets import CannotListen, PortInUse, bind_all, close_all, listening

LOOPBACK = "http://127.0.0.1:0"


@pytest.fixture
def foreign() -> Iterator[socket.socket]:
    """Somebody else's listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def test_one_socket_per_worker_for_http_and_one_for_the_rest() -> None:
    bound = bind_all({"http": [LOOPBACK], "admin": [LOOPBACK], "health": []}, 3, environment={})
    try:
        assert [(each.part, each.worker) for each in bound] == [("http", 1), ("http", 2), ("http", 3), ("admin", 0)]
        assert len({port_of(each.socket) for each in bound if each.part == "http"}) == 1
        urls = listening(bound)
        assert urls["http"] == [f"http://127.0.0.1:{port_of(bound[0].socket)}"]
        assert urls["admin"] == [f"http://127.0.0.1:{port_of(bound[3].socket)}"]
        assert not any(each.socket.get_inheritable() for each in bound)
    finally:
        close_all(bound)


def test_the_kernel_spreads_connections_over_the_workers() -> None:
    bound = bind_all({"http": [LOOPBACK]}, 2, environment={})
    try:
        clients = [socket.create_connection(("127.0.0.1", port_of(bound[0].socket))) for _ in range(64)]
        got = [0, 0]
        for number, each in enumerate(bound):
            while True:
                try:
                    accepted, _ = each.socket.accept()
                except BlockingIOError:
                    break
                got[number] += 1
                accepted.close()
        for client in clients:
            client.close()
        assert sum(got) == 64
        assert min(got) > 0
    finally:
        close_all(bound)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_gatepost_does_not_share_the_port(workers: int) -> None:
    first = bind_all({"http": [LOOPBACK]}, 2, environment={})
    try:
        url = listening(first)["http"][0]
        with pytest.raises(PortInUse) as caught:
            bind_all({"http": [url]}, workers, environment={})
        assert str(caught.value).startswith(f"[http] listen {url}: the port is in use by another program")
        assert "choose another port" in str(caught.value)
    finally:
        close_all(first)


def test_a_port_in_use_leaves_nothing_bound(foreign: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        free = port_of(sock)
    with pytest.raises(PortInUse):
        bind_all(
            {"http": [f"http://127.0.0.1:{free}"], "admin": [f"http://127.0.0.1:{port_of(foreign)}"]}, 2, environment={}
        )
    socket.create_server(("127.0.0.1", free)).close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://192.0.2.1:8080", "this machine has no such address"),
        ("http://no-such-host.invalid:8080", "no address is known for no-such-host.invalid"),
    ],
)
def test_an_address_that_is_not_ours(url: str, words: str) -> None:
    with pytest.raises(CannotListen, match=words) as caught:
        bind_all({"admin": [url]}, 1, environment={})
    assert str(caught.value).startswith(f"[admin] listen {url}: ")


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_both_families_on_one_port() -> None:
    # The port is free for IPv6 only as far as is known: another program may hold it for IPv4, so other ports are tried.
    for _ in range(20):
        try:
            first = bind_all({"http": ["http://[::1]:0"]}, 2, environment={})
        except CannotListen as error:
            pytest.skip(f"no IPv6 loopback here: {error}")
        try:
            port = port_of(first[0].socket)
            assert listening(first)["http"] == [f"http://[::1]:{port}"]
            close_all(bind_all({"http": [f"http://127.0.0.1:{port}"]}, 2, environment={}))
            return
        except PortInUse:
            continue
        finally:
            close_all(first)
    pytest.fail("IPv4 would listen on none of 20 ports on which IPv6 listens")


def inherited(*sockets: socket.socket, first: int) -> dict[str, str]:
    """The environment by which systemd hands sockets over, from descriptor ``first`` on."""
    for number, sock in enumerate(sockets):
        os.dup2(sock.fileno(), first + number)
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets))}


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> int:
    """Descriptors far from those the tests themselves use; systemd begins with 3."""
    from gateway.runtime import sockets

    monkeypatch.setattr(sockets, "FIRST_SYSTEMD_FD", 500)
    return 500


def test_a_socket_of_systemd_is_used_by_all_workers(foreign: socket.socket, descriptors: int) -> None:
    environment = inherited(foreign, first=descriptors)
    url = f"http://127.0.0.1:{port_of(foreign)}"
    bound = bind_all({"http": [url], "admin": [LOOPBACK]}, 4, environment=environment)
    try:
        assert [(each.part, each.worker) for each in bound] == [("http", 0), ("admin", 0)]
        assert listening(bound)["http"] == [url]
        with socket.create_connection(("127.0.0.1", port_of(foreign))):
            bound[0].socket.accept()[0].close()
    finally:
        close_all(bound)


def test_sockets_for_another_process_are_left_alone(foreign: socket.socket) -> None:
    close_all(bind_all({"http": [LOOPBACK]}, 1, environment={"LISTEN_PID": "1", "LISTEN_FDS": "1"}))


def test_a_socket_of_systemd_that_no_setting_names(foreign: socket.socket, descriptors: int) -> None:
    environment = inherited(foreign, first=descriptors)
    with pytest.raises(CannotListen, match=f"127.0.0.1:{port_of(foreign)}, which no listen names"):
        bind_all({"http": [LOOPBACK]}, 1, environment=environment)


def test_descriptors_that_are_no_sockets(descriptors: int) -> None:
    environment: dict[str, Any] = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    with pytest.raises(CannotListen, match="no sockets"):
        bind_all({"http": [LOOPBACK]}, 1, environment=environment)


def test_two_settings_with_one_address() -> None:
    url = "http://127.0.0.1:8090"
    with pytest.raises(PortInUse, match=r"\[inventory\] listen .*: \[admin\] listen has the same address"):
        bind_all({"http": [LOOPBACK], "admin": [url], "inventory": [url]}, 1, environment={})
