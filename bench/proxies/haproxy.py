"""HAProxy with one thread and the fleet's DeviceIds in a map."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.certificate import Certificate
from bench.machine import child, descendants, listens, wait_until

_CONFIGURATION = """
global
    nbthread 1
    maxconn 9900
    stats socket {dir}/haproxy.sock
defaults
    mode http
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 300s
    http-reuse aggressive
frontend phones
    bind 127.0.0.1:{plain} backlog 4096
    bind 127.0.0.1:{secure} ssl crt {both} alpn http/1.1 no-tls-tickets backlog 4096
    option forwardfor
    http-request deny deny_status 403 unless {{ url_param(DeviceId),lower,map_str({known}) -m str 1 }}
    default_backend mail
backend mail
    server mail 127.0.0.1:{mail}
"""


@contextmanager
def haproxy(
    core: int, directory: Path, mail: int, ports: tuple[int, int], certificate: Certificate, known: Path
) -> Iterator[tuple[int, ...]]:
    """Its process ids. ``known``: lines ``deviceid 1``."""
    config = directory / "haproxy.cfg"
    config.write_text(
        _CONFIGURATION.format(
            dir=directory, mail=mail, plain=ports[0], secure=ports[1], both=certificate.both, known=known
        )
    )
    with child(core, "haproxy", "-f", str(config)) as started:
        wait_until(lambda: listens(ports[0]) or started.poll() is not None, "HAProxy listens")
        if started.poll() is not None:
            raise SystemExit(f"HAProxy does not start: haproxy -c -f {config}")
        yield descendants(started.pid)
