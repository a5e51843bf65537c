"""The settings: a TOML file, the environment above it, and defaults under both (pydantic-settings).

Every key is also a variable: ``GATEPOST_HTTP__UPSTREAM``; with ``_FILE`` behind it (``GATEPOST_STORAGE__URL_FILE``) the
value is what that file holds, for secrets. An unknown key or variable is an error: a mistyped limit must not be
silently no limit. Errors are one sentence with file (or variable), key and remedy.
"""

import difflib
import ipaddress
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.domain.errors import DomainError

PREFIX = "GATEPOST_"
NOT_SETTINGS = frozenset({"URL", "TOKEN", "CONFIG", "LINK", "SOCKETS", "TERMINAL", "REQUIRE_LIVE"})
"""Variables of that prefix that are no settings."""
DEFAULT_FILES = (Path("gatepost.toml"), Path("/etc/gatepost/gatepost.toml"))
"""Read when no file is named, if there."""


class SettingsInvalid(DomainError):  # noqa: N818
    """A setting is wrong; the text names where, which and what to do."""


def _listed(value: object) -> object:
    """A lone value where a list is meant; from the environment also JSON or commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [piece.strip() for piece in value.split(",") if piece.strip()]


def _mapped(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _listener(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/") or _port(value) is None:
        raise ValueError(f"{value!r} is no address to listen on: write it like http://127.0.0.1:8080")
    return value.rstrip("/")


def _mail_server(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/") or url.query:
        raise ValueError(f"{value!r} is no mail server: write scheme and host only, like https://mail.internal")
    if url.username is not None:
        raise ValueError("a mail server's address holds no user name: phones bring their own credentials")
    _port(value)
    return value.rstrip("/")


def _port(value: str) -> int | None:
    try:
        return urlsplit(value).port
    except ValueError:
        raise ValueError(f"{value!r} has a port that is no number from 0 to 65535") from None


def _network(value: str) -> str:
    ipaddress.ip_network(value)
    return value


def _public(value: str) -> str:
    return _mail_server(value) if value else ""


def _redis(value: str) -> str:
    if value != "embedded" and urlsplit(value).scheme not in ("unix", "redis", "rediss"):
        raise ValueError(
            'write "embedded", or a URL like unix:///run/redis.sock, redis://host:6379, rediss://host:6379'
        )
    return value


def _storage(value: str) -> str:
    if value and not value.startswith("sqlite:///"):
        raise ValueError("write nothing for SQLite in data_dir, or sqlite:////absolute/path.db")
    return value


Listeners = Annotated[list[Annotated[str, AfterValidator(_listener)]], BeforeValidator(_listed)]
MailServers = Annotated[list[Annotated[str, AfterValidator(_mail_server)]], BeforeValidator(_listed)]
Networks = Annotated[list[Annotated[str, AfterValidator(_network)]], BeforeValidator(_listed)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class GatewaySection(Section):
    """[gateway]"""

    data_dir: str = "var"
    workers: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = 1
    drain_seconds: Seconds = 25.0


class StorageSection(Section):
    """[storage]"""

    url: Annotated[str, AfterValidator(_storage)] = Field("", repr=False)


class RedisSection(Section):
    """[redis]"""

    url: Annotated[str, AfterValidator(_redis)] = Field("embedded", repr=False)
    binary: str = ""
    maxmemory: str = "256mb"


class TlsSection(Section):
    """[tls]"""

    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    minimum: Literal["1.2", "1.3"] = "1.2"


class HttpSection(Section):
    """[http]"""

    listen: Listeners = ["http://127.0.0.1:8080"]
    upstream: MailServers = []
    upstream_ca: str = ""
    public_url: Annotated[str, AfterValidator(_public)] = ""
    trusted_proxies: Networks = []
    max_head_bytes: Annotated[int, Field(ge=4096, le=1 << 20)] = 32_768
    max_body_bytes: Count = 104_857_600
    head_seconds: Seconds = 15.0
    body_seconds: Seconds = 60.0
    idle_seconds: Seconds = 120.0
    write_seconds: Seconds = 120.0
    max_connections: Count = 20_000
    max_connections_per_address: Count = 2_000
    requests_per_connection: Count = 10_000
    tls_handshake_seconds: Seconds = 10.0
    sessions_per_user: Count = 64
    upstream_connections: Count = 20_000
    upstream_connect_seconds: Seconds = 10.0
    upstream_idle_seconds: Seconds = 4.0
    upstream_response_seconds: Seconds = 120.0
    parked_seconds: Annotated[float, Field(ge=3_660, le=86_400)] = 3_900.0
    retry_after_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30


class IdentitySection(Section):
    """[identity]"""

    default_domain: str = ""
    domains: Annotated[dict[str, str], BeforeValidator(_mapped)] = {}


class AdminSection(Section):
    """[admin]"""

    listen: Listeners = ["http://127.0.0.1:8090"]


class HealthSection(Section):
    """[health]"""

    listen: Listeners = ["http://127.0.0.1:8092"]


class InventorySection(Section):
    """[inventory]"""

    listen: Listeners = ["http://127.0.0.1:8091"]


class DecisionSection(Section):
    """[decision]"""

    cache_people: Count = 200_000
    state_bound_seconds: Seconds = 900.0


class LogSection(Section):
    """[log]"""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class Settings(BaseSettings):
    """All settings. Built by ``load_settings``."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    gateway: GatewaySection = GatewaySection()
    storage: StorageSection = StorageSection()
    redis: RedisSection = RedisSection()
    tls: TlsSection = TlsSection()
    http: HttpSection = HttpSection()
    identity: IdentitySection = IdentitySection()
    admin: AdminSection = AdminSection()
    health: HealthSection = HealthSection()
    inventory: InventorySection = InventorySection()
    decision: DecisionSection = DecisionSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what ``load_settings`` hands in: it merges file and environment, to tell where a value is from."""
        return (init_settings,)


def load_settings(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of ``path`` (or of the first default file that is there) and of the environment.

    Raises ``SettingsInvalid``.
    """
    environment = os.environ if environment is None else environment
    source, values = _from_file(path or _default_file())
    origins = {(section, key): source for section, table in values.items() for key in _keys(table)}
    for name, section, key, value in _from_environment(environment):
        table = values.setdefault(section, {})
        if not isinstance(table, dict):
            raise SettingsInvalid(f"{source}: {section} must be a table: write [{section}] above its keys")
        table[key] = value
        origins[section, key] = name
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsInvalid(_sentence(error, source, origins)) from None


def _default_file() -> Path | None:
    return next((path for path in DEFAULT_FILES if path.is_file()), None)


def _keys(table: object) -> list[str]:
    return list(table) if isinstance(table, dict) else []


def _from_file(path: Path | None) -> tuple[str, dict[str, Any]]:
    if path is None:
        return "the defaults", {}
    try:
        return str(path), tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsInvalid(f"{path} cannot be read ({error.strerror}): name a file that is there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{path} is no TOML file: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """(variable, section, key, value) of every variable of ours."""
    found = []
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX) or name.removeprefix(PREFIX) in NOT_SETTINGS:
            continue
        section, _, key = name.removeprefix(PREFIX).lower().partition("__")
        if key.endswith("_file") and key not in _known_keys(section):
            key, value = key.removesuffix("_file"), _held_by(name, value)
        if key not in _known_keys(section):
            raise SettingsInvalid(f"{name} is no setting: {_nearest(section, key)}")
        found.append((name, section, key, value))
    return found


def _held_by(name: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{name} names {path}, which cannot be read ({error})") from None


def _known_keys(section: str) -> frozenset[str]:
    field = Settings.model_fields.get(section)
    model = field.annotation if field else None
    return frozenset(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else frozenset()


def _nearest(section: str, key: str) -> str:
    keys = sorted(_known_keys(section))
    if not keys:
        return f"the sections are {', '.join(Settings.model_fields)}"
    if not key:
        return f"write {PREFIX}{section.upper()}__KEY"
    close = difflib.get_close_matches(key, keys, n=1)
    return f"did you mean {close[0]}?" if close else f"[{section}] has {', '.join(keys)}"


def _sentence(error: ValidationError, source: str, origins: Mapping[tuple[str, str], str]) -> str:
    first = error.errors(include_url=False)[0]
    section, key, *_ = [*map(str, first["loc"]), "", ""]
    where = origins.get((section, key), source)
    name = f"[{section}] {key}".strip()
    if first["type"] == "extra_forbidden":
        return f"{where}: {name} is no setting: {_nearest(section, key)}"
    # The value itself is not repeated: it may be a secret.
    return f"{where}: {name}: {first['msg'].removeprefix('Value error, ')}"


def check_complete(settings: Settings, role: str) -> None:
    """Whether a gateway of that role can start with these settings. Raises ``SettingsInvalid``."""
    if role != "control" and settings.http.listen and not settings.http.upstream:
        raise SettingsInvalid(
            "[http] upstream is not set: write the mail server that phones are let through to, "
            f'like upstream = ["https://mail.internal"], or set {PREFIX}HTTP__UPSTREAM'
        )
    listeners = (*settings.http.listen, *settings.admin.listen, *settings.inventory.listen, *settings.health.listen)
    secure = next((url for url in listeners if url.startswith("https:")), None)
    if secure and not settings.tls.certificate:
        raise SettingsInvalid(f"{secure} needs a certificate: set [tls] certificate and key to PEM files")
    if role == "gateway" and settings.redis.url == "embedded":
        raise SettingsInvalid(
            "[redis] url is embedded, which only --role all can use: write the URL of a server that both roles reach"
        )
