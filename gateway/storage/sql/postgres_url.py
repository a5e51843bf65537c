"""What ``postgresql://user:password@host/database?…`` means, read strictly and once.

Nothing of it comes from the environment but what PostgreSQL's own programs take there too: the password, where the URL
has none (``PGPASSWORD``, ``~/.pgpass``), and the user. Without ``sslmode`` a connection over the network is encrypted
and the server's certificate and name are checked; weaker modes must be asked for, and those that fall back to no
encryption in silence (``prefer``, ``allow``) do not exist here. No text repeats the URL: it may hold a secret.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway.domain.errors import InvalidValue

SCHEMES = ("postgresql", "postgres")
PORT = 5432
PARAMETERS = ("host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs")
MODES = ("disable", "require", "verify-ca", "verify-full")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LIKE = "write it like postgresql://user:password@host/database"
_ESCAPES = "(characters like @ : / ? # of a password as %40 %3A %2F %3F %23)"


@dataclass(frozen=True, slots=True)
class PostgresBounds:
    """In seconds. The server's own come first, since they tell more; ``answer`` is for a server that says nothing."""

    connect: float = 3.0
    """For each host."""
    statement: float = 10.0
    lock: float = 5.0
    idle: float = 15.0
    """In a transaction; longer than a unit of work may take."""
    answer: float = 12.0


@dataclass(frozen=True, slots=True)
class PostgresTarget:
    """Where the database is and how to reach it."""

    hosts: tuple[tuple[str, int], ...]
    """Name or address and port; a directory that begins with / holds a unix socket. Tried in order."""
    database: str
    user: str | None
    """None: as PostgreSQL's programs choose it."""
    password: str | None = field(default=None, repr=False)
    mode: str = "disable"
    """One of ``MODES``; for hosts on the network only."""
    authorities: str = ""
    """PEM file; empty: the system's."""
    certificate: str = ""
    key: str = ""

    @property
    def place(self) -> str:
        """For sentences: hosts and database, no credentials."""
        return f"{','.join(place_of(host, port) for host, port in self.hosts)}/{self.database}"

    def tls(self) -> ssl.SSLContext | None:
        """For hosts on the network; None without encryption. Raises ``InvalidValue`` for files that cannot be used."""
        if self.mode == "disable":
            return None
        try:
            context = ssl.create_default_context(cafile=self.authorities or None)
            if self.certificate:
                # Without a passphrase given, OpenSSL would ask for one at the terminal.
                context.load_cert_chain(self.certificate, self.key or None, password="")
        except (OSError, ssl.SSLError) as error:
            raise InvalidValue(
                f"[storage] url: sslrootcert, sslcert or sslkey cannot be used ({_reason(error)}): "
                "name PEM files that this user may read, the key without a passphrase"
            ) from None
        context.check_hostname = self.mode == "verify-full"
        if self.mode == "require" and not self.authorities:
            context.verify_mode = ssl.CERT_NONE
        return context


def place_of(host: str, port: int) -> str:
    """A host for a sentence."""
    if host.startswith("/"):
        return host if port == PORT else f"{host}:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def is_postgres(url: str) -> bool:
    """Whether a database URL is one of PostgreSQL's, right or wrong."""
    return url.partition(":")[0] in SCHEMES


def weakness_of(url: str) -> str:
    """What somebody on the network could do to the connection, for ``gatepost check``; empty: nothing.

    Raises ``InvalidValue`` for a PostgreSQL URL that cannot be read.
    """
    if not is_postgres(url):
        return ""
    target = postgres_target(url)
    if all(host.startswith("/") or host in _LOOPBACK for host, _ in target.hosts):
        return ""
    context = target.tls()
    if context is None:
        return "sslmode=disable: passwords and inventories can be read on the network"
    if context.verify_mode is ssl.CERT_NONE:
        return "sslmode=require checks no certificate: another server can take the database's place"
    return ""


def postgres_target(url: str) -> PostgresTarget:
    """Read a URL. Raises ``InvalidValue``."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidValue(f"the database URL cannot be read: {_LIKE} {_ESCAPES}") from None
    if parts.scheme not in SCHEMES or parts.fragment:
        raise InvalidValue(f"the database URL cannot be read: {_LIKE} {_ESCAPES}")
    parameters = _parameters(parts.query)
    credentials, _, network = parts.netloc.rpartition("@")
    user, colon, password = credentials.partition(":")
    hosts = _hosts(network, parameters)
    database = unquote(parts.path.removeprefix("/"))
    # With @ in it, it is the rest of a password.
    if not database or "/" in database or "@" in parts.path:
        raise InvalidValue(f"the database URL names no database: {_LIKE} {_ESCAPES}")
    return PostgresTarget(
        hosts=hosts,
        database=database,
        user=unquote(user) or None,
        password=unquote(password) if colon else None,
        mode=_mode(hosts, parameters),
        authorities="" if parameters.get("sslrootcert") == "system" else parameters.get("sslrootcert", ""),
        certificate=parameters.get("sslcert", ""),
        key=parameters.get("sslkey", ""),
    )


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=50)
    except ValueError:
        raise InvalidValue(f"the database URL cannot be read behind the ?: {_LIKE} {_ESCAPES}") from None
    parameters = dict(pairs)
    if parameters.keys() - set(PARAMETERS) or len(parameters) < len(pairs):
        raise InvalidValue(f"behind the ? of the database URL may stand, once each: {', '.join(PARAMETERS)}")
    if parameters.get("target_session_attrs", "read-write") not in ("read-write", "primary"):
        raise InvalidValue(
            "target_session_attrs in the database URL can only be read-write: a standby that lags would let phones in"
        )
    return parameters


def _hosts(network: str, parameters: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    if network and ("host" in parameters or "port" in parameters):
        raise InvalidValue("the database URL names hosts twice: write them before the database, or as ?host=, not both")
    if network:
        return tuple(_host_and_port(each) for each in network.split(","))
    names = parameters.get("host", "").split(",")
    if not all(names):
        raise InvalidValue(f"the database URL names no host: {_LIKE}, or ?host=/run/postgresql for a unix socket")
    ports = [_port(each) for each in parameters.get("port", str(PORT)).split(",")]
    if len(ports) == 1:
        ports *= len(names)
    if len(ports) != len(names):
        raise InvalidValue("the database URL must name one port, or as many as hosts")
    return tuple(zip(names, ports, strict=True))


def _host_and_port(text: str) -> tuple[str, int]:
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest.startswith(":") else rest
    else:
        name, _, port = text.partition(":")
    name = unquote(name)
    if not name:
        raise InvalidValue(f"the database URL has a host without a name: {_LIKE} {_ESCAPES}")
    return name, _port(port) if port else PORT


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65_536):
        raise InvalidValue(f"the database URL has a port that is none: {_LIKE} {_ESCAPES}")
    return int(text)


def _mode(hosts: tuple[tuple[str, int], ...], parameters: Mapping[str, str]) -> str:
    if all(name.startswith("/") for name, _ in hosts):
        return "disable"
    mode = parameters.get("sslmode", "verify-full")
    if mode not in MODES:
        raise InvalidValue(f"sslmode in the database URL can be {', '.join(MODES)}; without it, it is verify-full")
    return mode
