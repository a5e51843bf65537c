"""SOGo with ActiveSync, its database and cache, and nginx before it, with configurations of their own in one directory.

SOGo reads /etc/sogo/sogo.conf in any case; everything of it that matters is overruled by arguments.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from tests.live.children import Child, run, start
from tests.live.mail_servers import DOMAIN, PASSWORD

WORKERS = 16
"""Each waiting Ping occupies one, also when its phone has hung up: SOGo does not look until it has something to say."""

USER_SOURCES = """(
  {{
    type = sql;
    id = people;
    viewURL = "{sql}/people";
    canAuthenticate = YES;
    isAddressBook = YES;
    displayName = People;
    userPasswordAlgorithm = none;
  }}
)"""

NGINX = """
user www-data;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr;
events {{
  worker_connections 1024;
}}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {directory}/bodies;
  proxy_temp_path {directory}/proxied;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{plain};
    listen 127.0.0.1:{tls} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    proxy_read_timeout 3700s;
    proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header x-webobjects-server-protocol HTTP/1.0;
    proxy_set_header x-webobjects-remote-host $remote_addr;
    proxy_set_header x-webobjects-server-name $server_name;
    proxy_set_header x-webobjects-server-url $scheme://$host;
    proxy_set_header x-webobjects-server-port $server_port;
    location ^~ /Microsoft-Server-ActiveSync {{
      proxy_pass http://127.0.0.1:{sogo}/SOGo/Microsoft-Server-ActiveSync;
    }}
    location ^~ /SOGo/dav {{
      proxy_pass http://127.0.0.1:{sogo}/SOGo/dav;
    }}
    location / {{
      return 404;
    }}
  }}
}}
"""

TABLES = {
    "SOGoProfileURL": "sogo_user_profile",
    "OCSFolderInfoURL": "sogo_folder_info",
    "OCSSessionsFolderURL": "sogo_sessions_folder",
    "OCSEMailAlarmsFolderURL": "sogo_alarms_folder",
    "OCSStoreURL": "sogo_store",
    "OCSAclURL": "sogo_acl",
    "OCSCacheFolderURL": "sogo_cache_folder",
}

PEOPLE = """
CREATE TABLE people (c_uid text PRIMARY KEY, c_name text, c_password text, c_cn text, mail text);
"""


def postgresql_programs() -> Path | None:
    """The directory of the newest PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4]))
    return found[-1].parent if found else None


def start_postgresql(directory: Path, users: Iterable[str], port: int) -> Child:
    """SOGo's database, which also says who may log in."""
    programs = postgresql_programs()
    assert programs is not None
    directory.mkdir()
    shutil.chown(directory, "postgres", "postgres")
    made = (str(programs / "initdb"), "-D", str(directory / "cluster"), "-U", "sogo", "-A", "trust")
    run((*made, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"), directory, "postgres")
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    said = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    server = (str(programs / "postgres"), "-D", str(directory / "cluster"), *said)
    child = start("postgresql", server, directory, user="postgres")
    child.until_said("database system is ready to accept connections")
    rows = [f"{user},{user},{PASSWORD},{user.title()},{user}@{DOMAIN}\n" for user in users]
    (directory / "people.csv").write_text("".join(rows))
    psql = (str(programs / "psql"), "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "sogo", "-v", "ON_ERROR_STOP=1")
    run((*psql, "-d", "postgres", "-c", "CREATE DATABASE sogo"), directory)
    run((*psql, "-d", "sogo", "-c", PEOPLE, "-c", r"\copy people from people.csv csv"), directory)
    return child


def start_memcached(directory: Path, port: int) -> Child:
    """SOGo's cache."""
    directory.mkdir()
    server = ("memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "64")
    child = start("memcached", server, directory, user="memcache")
    child.until_port(port)
    return child


def start_sogo(directory: Path, *, port: int, sql: int, memcached: int, imap: int, smtp: int) -> Child:
    """The ActiveSync server itself."""
    directory.mkdir()
    shutil.chown(directory, "sogo", "sogo")
    url = f"postgresql://sogo:none@127.0.0.1:{sql}/sogo"
    values = {
        **{name: f"{url}/{table}" for name, table in TABLES.items()},
        "SOGoUserSources": USER_SOURCES.format(sql=url),
        "SOGoMailDomain": DOMAIN,
        "SOGoIMAPServer": f"imap://127.0.0.1:{imap}",
        "SOGoSMTPServer": f"smtp://127.0.0.1:{smtp}",
        "SOGoMailingMechanism": "smtp",
        "SOGoMemcachedHost": f"127.0.0.1:{memcached}",
        "SOGoTimeZone": "UTC",
        "SOGoLanguage": "English",
        "SOGoSentFolderName": "Sent",
        "SOGoTrashFolderName": "Trash",
        "SOGoDraftsFolderName": "Drafts",
        "SOGoJunkFolderName": "Junk",
        "SOGoMaximumPingInterval": "3540",
        "SOGoMaximumSyncInterval": "3540",
        "SOGoInternalSyncInterval": "1",
        "WOWorkersCount": str(WORKERS),
        # A worker that has grown beyond it, by a large attachment for instance, ends and is missing for a moment.
        "SxVMemLimit": "4096",
        "WOWatchDogRequestTimeout": "60",
        "WOPort": f"127.0.0.1:{port}",
        "WOPidFile": str(directory / "sogo.pid"),
        "WOLogFile": "-",
        "WONoDetach": "YES",
    }
    said = [word for name, value in values.items() for word in (f"-{name}", value)]
    child = start("sogo", ("sogod", *said), directory, user="sogo")
    child.until_port(port)
    return child


def start_nginx(directory: Path, *, plain: int, tls: int, sogo: int, certificate: Path, key: Path) -> Child:
    """The web server before SOGo, with a plain and a TLS listener."""
    directory.mkdir()
    config = directory / "nginx.conf"
    config.write_text(
        NGINX.format(directory=directory, plain=plain, tls=tls, sogo=sogo, certificate=certificate, key=key)
    )
    child = start("nginx", ("nginx", "-p", str(directory), "-c", str(config), "-g", "daemon off;"), directory)
    child.until_port(plain)
    return child
