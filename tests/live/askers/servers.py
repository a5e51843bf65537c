"""The real servers that ask, by the examples of ``config/examples`` with ports and paths of this run put in."""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.live.children import Child, start
from tests.live.mail_children import know_users, make_room_for_mail, run_dovecot, run_postfix
from tests.support.asking import KEY
from tests.support.phone_certificates import Certificates

EXAMPLES = Path(__file__).parents[3] / "config" / "examples"
PASSWORD = "secret"
DOVEADM_KEY = "a key of doveadm's"

DOVECOT = """
base_dir = {directory}/run
state_dir = {directory}/state
instance_name = {name}
log_path = /dev/stderr
protocols = {protocols}
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 1000
login_trusted_networks = 127.0.0.0/8
passdb {{
  driver = passwd-file
  args = {directory}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={directory}/mail/%n
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service auth {{
  inet_listener {{
    port = {auth}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
namespace inbox {{
  inbox = yes
}}
"""

POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/state
maillog_file = {directory}/maillog
maillog_file_prefixes = {directory}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
myhostname = mail.corp.example
mydestination =
mynetworks =
alias_maps =
alias_database =
local_recipient_maps =
default_transport = discard:
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_session_cache_database =
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
"""

POSTFIX_MASTER = """
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
proxymap  unix  - - n - - proxymap
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
tlsmgr    unix  - - n 1000? 1 tlsmgr
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


def missing(*programs: str) -> str:
    """Why these servers cannot be started here; empty when they can."""
    if os.geteuid() != 0:
        return "needs root: each of the servers runs as a user of its own"
    absent = [name for name in (*programs, "setpriv") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)} (make servers)" if absent else ""


NO_CHANGES: Mapping[str, str] = {}


def example(name: str, changes: Mapping[str, str]) -> str:
    """An example with something of it changed for this run; what is changed must be there."""
    text = (EXAMPLES / name).read_text()
    for old, new in changes.items():
        if old not in text:
            raise AssertionError(f"{name} has no {old!r} any more")
        text = text.replace(old, new)
    return text


def certificate_changes(made: Certificates) -> dict[str, str]:
    """The certificate of nginx's examples."""
    return {
        "/etc/ssl/certs/mail.example.com.pem": str(made.certificate),
        "/etc/ssl/private/mail.example.com.key": str(made.key),
    }


NGINX = """
{modules}
worker_processes 1;
error_log {directory}/error.log info;
pid {directory}/nginx.pid;
events {{ worker_connections 256; }}
"""
NGINX_HTTP = """
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include gatepost-http.conf;
}}
"""
MAIL_MODULE = Path("/usr/lib/nginx/modules/ngx_mail_module.so")


def start_nginx_http(
    directory: Path,
    *,
    listen: int,
    gatepost: int,
    mail: int,
    made: Certificates,
    handing_on: bool = False,
    patience: Mapping[str, str] = NO_CHANGES,
) -> Child:
    """nginx by gatepost-http.conf, gatepost-asks.conf (with ``patience`` as changes) and gatepost-key.conf.

    ``handing_on``: with the lines by which it hands on the certificates of clients, as of the next two.
    """
    directory.mkdir()
    changes = {
        "127.0.0.1:8070": f"127.0.0.1:{gatepost}",
        "10.0.0.5:8080": f"127.0.0.1:{mail}",
        "listen 443 ssl": f"listen 127.0.0.1:{listen} ssl",
        "mail.example.com;": "localhost;",
        **certificate_changes(made),
    }
    asks = dict(patience)
    if handing_on:
        size, key = "    client_max_body_size", "include gatepost-key.conf;"
        changes[size] = f"    ssl_client_certificate {made.authority};\n    ssl_verify_client optional;\n{size}"
        shown = "proxy_set_header X-Client-Cert $ssl_client_escaped_cert;"
        asks[key] = f"{shown}\nproxy_set_header X-Client-Cert-Verify $ssl_client_verify;\n{key}"
    (directory / "gatepost-http.conf").write_text(example("nginx/gatepost-http.conf", changes))
    (directory / "gatepost-asks.conf").write_text(example("nginx/gatepost-asks.conf", asks))
    key = example("nginx/gatepost-key.conf", {"put-the-key-here": KEY})
    (directory / "gatepost-key.conf").write_text(key)
    config = NGINX.format(directory=directory, modules="") + NGINX_HTTP.format(directory=directory)
    return _nginx(directory, config, listen)


def start_nginx_mail(directory: Path, *, imap: int, pop3: int, smtp: int, gatepost: int, made: Certificates) -> Child:
    """nginx by gatepost-mail.conf."""
    directory.mkdir()
    changes = {
        "127.0.0.1:8070": f"127.0.0.1:{gatepost}",
        "put-the-key-here": KEY,
        "listen 993": f"listen 127.0.0.1:{imap}",
        "listen 995": f"listen 127.0.0.1:{pop3}",
        "listen 465": f"listen 127.0.0.1:{smtp}",
        **certificate_changes(made),
    }
    config = NGINX.format(directory=directory, modules=f"load_module {MAIL_MODULE};")
    return _nginx(directory, config + example("nginx/gatepost-mail.conf", changes), imap)


def _nginx(directory: Path, config: str, port: int) -> Child:
    (directory / "nginx.conf").write_text(config)
    words = ("nginx", "-p", str(directory), "-c", str(directory / "nginx.conf"), "-g", "daemon off;")
    child = start("nginx", words, directory)
    child.until_port(port)
    return child


HAPROXY_GLOBAL = """
global
    stats socket {directory}/stats mode 600
    log stderr format raw local0
    maxconn 200

"""


def start_haproxy(
    directory: Path,
    *,
    listen: int,
    gatepost: int,
    spop: int,
    mail: int,
    made: Certificates,
    handing_on: bool = False,
    patience: Mapping[str, str] = NO_CHANGES,
) -> Child:
    """HAProxy by haproxy.cfg and gatepost-spoe.conf, and ``patience`` as changes of the latter.

    With ``patience`` it does not look whether Gatepost is there: the first look counts, and one that a busy machine
    answers late would make "away" of the seconds until the next two.
    """
    directory.mkdir()
    (directory / "both.pem").write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    changes = {
        **({" check inter 2s": ""} if patience else NO_CHANGES),
        "bind :443": f"bind 127.0.0.1:{listen}",
        "/etc/haproxy/mail.example.com.pem": f"{directory}/both.pem",
        "/etc/haproxy/gatepost-spoe.conf": f"{directory}/gatepost-spoe.conf",
        "127.0.0.1:8070": f"127.0.0.1:{gatepost}",
        "127.0.0.1:8071": f"127.0.0.1:{spop}",
        "10.0.0.5:8080": f"127.0.0.1:{mail}",
        "put-the-key-here": KEY,
    }
    args = {"put-the-key-here": KEY, **patience}
    if handing_on:
        path, coding = "    http-request set-path", "coding=req.fhdr(content-encoding)"
        changes["alpn h2,http/1.1"] = f"ca-file {made.authority} verify optional alpn h2,http/1.1"
        changes[path] = f"    http-request set-header X-Client-Cert %[ssl_c_der,base64]\n{path}"
        args[coding] = f"{coding} cert=ssl_c_der"
    config = directory / "haproxy.cfg"
    config.write_text(HAPROXY_GLOBAL.format(directory=directory) + example("haproxy/haproxy.cfg", changes))
    spoe = example("haproxy/gatepost-spoe.conf", args)
    (directory / "gatepost-spoe.conf").write_text(spoe)
    child = start("haproxy", ("haproxy", "-db", "-f", str(config)), directory)
    child.until_port(listen)
    return child


HAPROXY_LOG = """
global
    log stderr format raw local0
    maxconn 2000

"""
HAPROXY_MAP = "/etc/haproxy/gatepost.map"


def haproxy_socket(directory: Path) -> Path:
    """Where the runtime API is."""
    return directory / "gatepost.sock"


def haproxy_map(directory: Path) -> str:
    """The map's path in the configuration."""
    return f"{directory}/gatepost.map"


def start_haproxy_map(
    directory: Path, *, listen: int, gatepost: int, spop: int, mail: int, made: Certificates
) -> Child:
    """HAProxy by haproxy-map.cfg and gatepost-spoe-map.conf. May be called again after its end, in the same place."""
    directory.mkdir(exist_ok=True)
    (directory / "both.pem").write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    for name in (haproxy_map(directory), f"{haproxy_map(directory)}.alive"):
        Path(name).touch()
    changes = {
        "bind :443": f"bind 127.0.0.1:{listen}",
        "/run/haproxy/gatepost.sock user gatepost": str(haproxy_socket(directory)),
        HAPROXY_MAP: haproxy_map(directory),
        "/etc/haproxy/mail.example.com.pem": f"{directory}/both.pem",
        "/etc/haproxy/gatepost-spoe-map.conf": f"{directory}/gatepost-spoe-map.conf",
        "127.0.0.1:8070": f"127.0.0.1:{gatepost}",
        "127.0.0.1:8071": f"127.0.0.1:{spop}",
        "10.0.0.5:8080": f"127.0.0.1:{mail}",
        "put-the-key-here": KEY,
    }
    config = directory / "haproxy.cfg"
    config.write_text(HAPROXY_LOG + example("haproxy/haproxy-map.cfg", changes))
    spoe = example("haproxy/gatepost-spoe-map.conf", {"put-the-key-here": KEY})
    (directory / "gatepost-spoe-map.conf").write_text(spoe)
    child = start("haproxy", ("haproxy", "-db", "-f", str(config)), directory)
    child.until_port(listen)
    return child


CADDY_GLOBAL = """{{
	admin unix/{directory}/admin.sock
	auto_https disable_redirects
	skip_install_trust
	storage file_system {directory}
}}
"""


def start_caddy(
    directory: Path,
    *,
    listen: int,
    gatepost: int,
    mail: int,
    made: Certificates,
    handing_on: bool = False,
    patience: Mapping[str, str] = NO_CHANGES,
) -> Child:
    """Caddy by its Caddyfile, and ``patience`` as changes of it."""
    directory.mkdir()
    changes = {
        **patience,
        "mail.example.com {": f"https://localhost:{listen} {{\n\ttls {made.certificate} {made.key}",
        "127.0.0.1:8070": f"127.0.0.1:{gatepost}",
        "10.0.0.5:8080": f"127.0.0.1:{mail}",
    }
    if handing_on:
        shown = "header_up X-Client-Cert {http.request.tls.client.certificate_der_base64}"
        lines = ("mode verify_if_given", f"trusted_ca_cert_file {made.authority}")
        changes["mail.example.com {"] += " {\n\t\tclient_auth {\n\t\t\t" + "\n\t\t\t".join(lines) + "\n\t\t}\n\t}"
        changes["header_up X-Gatepost-Key"] = f"{shown}\n\t\t\theader_up X-Gatepost-Key"
    config = directory / "Caddyfile"
    config.write_text(CADDY_GLOBAL.format(directory=directory) + example("caddy/Caddyfile", changes))
    words = ("caddy", "run", "--adapter", "caddyfile", "--config", str(config))
    child = start("caddy", words, directory, environment={"ASKER_KEY": KEY, "XDG_DATA_HOME": str(directory)})
    child.until_port(listen)
    return child


def start_dovecot(
    directory: Path,
    users: Iterable[str],
    *,
    imap: int,
    pop3: int,
    auth: int,
    gatepost: int = 0,
    doveadm: int = 0,
    further: str = "",
) -> Child:
    """Mailboxes; with ``gatepost`` by the example, else without asking anybody; with ``doveadm`` its HTTP API too.

    ``further``: more configuration.
    """
    directory.mkdir()
    make_room_for_mail(directory)
    know_users(directory, users, PASSWORD)
    has_pop3 = Path("/usr/lib/dovecot/pop3-login").exists()
    config = DOVECOT.format(
        directory=directory,
        name=directory.name,
        protocols="imap pop3" if has_pop3 else "imap",
        imap=imap,
        pop3=pop3,
        auth=auth,
    )
    if not has_pop3:
        config = config.replace(config[config.index("service pop3-login") : config.index("service auth")], "")
    if gatepost:
        changes = {"127.0.0.1:8070": f"127.0.0.1:{gatepost}", "put-the-key-here": KEY}
        config += example("dovecot/gatepost.conf", changes)
    if doveadm:
        config += example(
            "dovecot/gatepost-cut.conf", {"port = 8074": f"port = {doveadm}", "put-another-key-here": DOVEADM_KEY}
        )
    return run_dovecot(directory, config + further, imap)


def start_postfix(directory: Path, *, tcp: int, unix: int, auth: int, gatepost: int, made: Certificates) -> Child:
    """Submission by the example at ``tcp``, and once more at ``unix`` by Gatepost's unix socket."""
    main = POSTFIX_MAIN.format(directory=directory, auth=auth, certificate=made.certificate, key=made.key)
    asked = example("postfix/master.cf", {"submission inet": f"127.0.0.1:{tcp} inet", "put-the-key-here": KEY})
    by_tcp = asked.replace("inet:127.0.0.1:8072", f"inet:127.0.0.1:{gatepost}")
    by_unix = asked.replace(f"127.0.0.1:{tcp} inet", f"127.0.0.1:{unix} inet").replace(
        f"inet:127.0.0.1:8072, policy_context={KEY}", f"unix:{policy_socket(directory)}"
    )
    assert asked not in (by_tcp, by_unix)
    return run_postfix(directory, main, POSTFIX_MASTER + by_tcp + by_unix, tcp)


def policy_socket(directory: Path) -> Path:
    """Where Postfix finds Gatepost's unix socket."""
    return directory / "policy"
