"""nginx, four times: as a plain proxy, and asking for every request by ``auth_request``.

It asks a uvloop server on a unix socket that knows the phones by heart, or the kindest there can be: itself, by a
subrequest that never leaves the process, with the phones in a ``map``; or Gatepost. ``mail_server`` stands behind every
proxy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.certificate import Certificate
from bench.machine import child, descendants, listens, python_child, wait_until

_WHOLE = """
worker_processes 1; daemon off; pid {dir}/{name}.pid; error_log {dir}/{name}.log warn; worker_rlimit_nofile 20000;
events {{ worker_connections 20000; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; client_max_body_size 0;
        map_hash_max_size 262144; map_hash_bucket_size 128;
        client_body_temp_path {dir}/{name}-body; proxy_temp_path {dir}/{name}-proxy;
        fastcgi_temp_path {dir}/{name}-fcgi; uwsgi_temp_path {dir}/{name}-uwsgi; scgi_temp_path {dir}/{name}-scgi;
{http} }}
"""
_MAIL_SERVER = """
    server {{ listen 127.0.0.1:{port} backlog=4096;
             location / {{ default_type application/vnd.ms-sync.wbxml;
               if ($http_authorization !~ "c2VjcmV0$") {{ add_header WWW-Authenticate 'Basic realm="mail"' always;
                                                         return 401; }}
               return 200 "{body}"; }} }}
"""
_PROXY = """
    upstream mail {{ server 127.0.0.1:{mail}; keepalive 1024; keepalive_requests 1000000000; }}
    {more}
    server {{ listen 127.0.0.1:{plain} backlog=4096; listen 127.0.0.1:{secure} ssl backlog=4096;
      ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_session_tickets off;
      client_body_buffer_size 16k; proxy_request_buffering off; proxy_read_timeout 1h; proxy_send_timeout 1h;
      location / {{ {ask} proxy_pass http://mail; proxy_http_version 1.1;
                   proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr; }}
      {auth} }}
"""
_AUTH = """location = /_auth { internal; proxy_pass http://auth$request_uri; proxy_http_version 1.1;
          proxy_set_header Connection ""; proxy_pass_request_body off; proxy_set_header Content-Length "";
          proxy_pass_request_headers off; proxy_method GET; }"""
_ASKED = "upstream auth {{ server unix:{socket}; keepalive 1024; keepalive_requests 1000000000; }}"
_ASK_GATEPOST = """location = /_auth {{ internal; proxy_pass http://auth/authz/v1/nginx; proxy_http_version 1.1;
          proxy_set_header Connection ""; proxy_pass_request_body off; proxy_set_header Content-Length "";
          proxy_method GET; proxy_set_header Host gatepost; proxy_set_header X-Original-Method $request_method;
          proxy_set_header X-Original-URI $request_uri; proxy_set_header X-Client-IP $remote_addr;
          proxy_set_header X-Gatepost-Key "{key}"; }}"""
_GATEPOST = "upstream auth {{ server 127.0.0.1:{port}; keepalive 1024; keepalive_requests 1000000000; }}"
_ASK_MAP = "location = /_auth { internal; if ($known) { return 200; } return 403; }"
_MAP = """
    map $request_uri $device {{ "~*[?&]DeviceId=(?<id>[^&]*)" $id; }}
    map $device $known {{ default 0; include {known}; }}
"""


@contextmanager
def _nginx(core: int, directory: Path, name: str, http: str, port: int) -> Iterator[tuple[int, ...]]:
    config = directory / f"{name}.conf"
    config.write_text(_WHOLE.format(dir=directory, name=name, http=http))
    with child(core, "nginx", "-c", str(config), "-e", str(directory / f"{name}.log")) as started:
        wait_until(lambda: listens(port) or started.poll() is not None, f"nginx {name} listens")
        if started.poll() is not None:
            raise SystemExit(f"nginx {name}: {(directory / f'{name}.log').read_text()}")
        yield descendants(started.pid)


@contextmanager
def mail_server(core: int, directory: Path, port: int, body: int = 1400) -> Iterator[None]:
    """Answers every phone with the right password at once."""
    with _nginx(core, directory, "mail", _MAIL_SERVER.format(port=port, body="m" * body), port):
        yield


@contextmanager
def plain(
    core: int, directory: Path, mail: int, ports: tuple[int, int], certificate: Certificate
) -> Iterator[tuple[int, ...]]:
    """A proxy that judges nothing: its process ids."""
    http = _proxy(mail, ports, certificate)
    with _nginx(core, directory, "plain", http, ports[0]) as pids:
        yield pids


@contextmanager
def auth_request(
    core: int, directory: Path, mail: int, ports: tuple[int, int], certificate: Certificate, people: int
) -> Iterator[tuple[int, ...]]:
    """A proxy that asks the uvloop server: process ids of both."""
    socket = directory / "auth.sock"
    more = _ASKED.format(socket=socket)
    with python_child(core, "bench.proxies.authorizer", str(socket), str(people)) as server:
        socket.chmod(0o777)
        http = _proxy(mail, ports, certificate, more, "auth_request /_auth;", _AUTH)
        with _nginx(core, directory, "auth", http, ports[0]) as pids:
            yield (*pids, server.pid)


@contextmanager
def auth_request_to_gatepost(
    core: int, directory: Path, mail: int, ports: tuple[int, int], certificate: Certificate, asked: int, key: str
) -> Iterator[tuple[int, ...]]:
    """A proxy that asks Gatepost at port ``asked``, as in ``config/examples/nginx``: its process ids."""
    http = _proxy(
        *(mail, ports, certificate, _GATEPOST.format(port=asked), "auth_request /_auth;", _ASK_GATEPOST.format(key=key))
    )
    with _nginx(core, directory, "asks", http, ports[0]) as pids:
        yield pids


@contextmanager
def auth_request_by_map(
    core: int, directory: Path, mail: int, ports: tuple[int, int], certificate: Certificate, known: Path
) -> Iterator[tuple[int, ...]]:
    """A proxy that asks itself: its process ids. ``known``: lines ``deviceid 1;``."""
    http = _proxy(mail, ports, certificate, _MAP.format(known=known), "auth_request /_auth;", _ASK_MAP)
    with _nginx(core, directory, "map", http, ports[0]) as pids:
        yield pids


def _proxy(
    mail: int, ports: tuple[int, int], certificate: Certificate, more: str = "", ask: str = "", auth: str = ""
) -> str:
    files = {"certificate": certificate.certificate, "key": certificate.key}
    return _PROXY.format(mail=mail, plain=ports[0], secure=ports[1], more=more, ask=ask, auth=auth, **files)
