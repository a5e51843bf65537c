"""nginx's mail proxy for IMAP and POP3, which asks about each login (``auth_http``).

It asks as kind an authorization server as there can be: an HTTP server in the same worker process, over a unix socket,
with the people in a ``map``; or a minimal one on uvloop. It looks at no password: that the mail server does behind it,
at which nginx logs in with what the client has said.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.certificate import Certificate
from bench.machine import Missing, child, listens, need, python_child, wait_until

MODULE = Path("/usr/lib/nginx/modules/ngx_mail_module.so")
_WHOLE = """
load_module {module};
worker_processes 1; daemon off; pid {dir}/{name}.pid; error_log {dir}/{name}.log warn; worker_rlimit_nofile 20000;
events {{ worker_connections 20000; }}
{itself}
mail {{
    server_name mail.corp.example;
    auth_http unix:{socket}:/auth;
    proxy_pass_error_message on; proxy_timeout 1h; {buffer}
    imap_auth plain login; pop3_auth plain;
    imap_capabilities IMAP4rev1 UIDPLUS IDLE SASL-IR LITERAL+;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_session_tickets off;
    server {{ listen 127.0.0.1:{imap} backlog=4096; protocol imap; }}
    server {{ listen 127.0.0.1:{imaps} ssl backlog=4096; protocol imap; }}
    server {{ listen 127.0.0.1:{pop3} backlog=4096; protocol pop3; }}
    server {{ listen 127.0.0.1:{pop3s} ssl backlog=4096; protocol pop3; }}
}}
"""
_ITSELF = """
http {{
    access_log off; map_hash_max_size 262144; map_hash_bucket_size 128;
    client_body_temp_path {dir}/{name}-body; proxy_temp_path {dir}/{name}-proxy;
    fastcgi_temp_path {dir}/{name}-fcgi; uwsgi_temp_path {dir}/{name}-uwsgi; scgi_temp_path {dir}/{name}-scgi;
    map $http_auth_user $word {{ default "[CONTACTADMIN] blocked"; include {known}; }}
    map $http_auth_protocol $there {{ default 1; imap {to_imap}; pop3 {to_pop3}; }}
    server {{ listen unix:{socket};
             location / {{ add_header Auth-Status $word; add_header Auth-Server 127.0.0.1; add_header Auth-Port $there;
                          return 200; }} }}
}}
"""


@contextmanager
def nginx_mail(
    core: int,
    directory: Path,
    name: str,
    to: dict[str, int],
    ports: dict[str, int],
    certificate: Certificate,
    known: Path,
    *,
    buffer: str = "",
    server: bool = False,
) -> Iterator[tuple[int, ...]]:
    """Its first process, and that of its authorization server if it has one. ``known``: lines ``login OK;``.

    ``to``: ports of the mail server by protocol; ``ports``: where to listen by scheme. ``server``: asks one on uvloop.
    Raises ``Missing``.
    """
    need("nginx")
    if not MODULE.exists():
        raise Missing("libnginx-mod-mail not installed: run bench/install.sh as root")
    socket, config, log = directory / f"{name}.sock", directory / f"{name}.conf", directory / f"{name}.log"
    here = {"dir": directory, "name": name, "socket": socket}
    itself = _ITSELF.format(**here, known=known, to_imap=to["imap"], to_pop3=to["pop3"])
    files = {"certificate": certificate.certificate, "key": certificate.key}
    told = {"module": MODULE, "itself": "" if server else itself, "buffer": buffer, **here, **files, **ports}
    config.write_text(_WHOLE.format(**told))
    with ExitStack() as stack:
        asked: tuple[int, ...] = ()
        if server:
            words = (str(socket), str(known), str(to["imap"]), str(to["pop3"]))
            asked = (stack.enter_context(python_child(core, "bench.proxies.mail_authorizer", *words)).pid,)
            socket.chmod(0o777)
        started = stack.enter_context(child(core, "nginx", "-c", str(config), "-e", str(log)))
        wait_until(lambda: listens(ports["imap"]) or started.poll() is not None, f"nginx {name} listens")
        if started.poll() is not None:
            raise SystemExit(f"nginx {name}: {log.read_text()}")
        yield (started.pid, *asked)
