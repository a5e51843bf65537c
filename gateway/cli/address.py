"""Where the admin API is, and the token for it.

On the machine of the gateway nothing needs to be said: the running gateway writes where it listens to
``data_dir/listening.json``, its first start wrote a token to ``data_dir/admin-token``. Elsewhere ``GATEPOST_URL`` and
``GATEPOST_TOKEN`` say it. The local token never goes to an address from the environment, nor anywhere by plain HTTP
while no gateway runs here.
"""

import json
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from gateway.admin.auth import TOKEN_FILE
from gateway.cli.failures import Failed
from gateway.runtime.lock import holder_of
from gateway.runtime.sockets import LISTENING_FILE

if TYPE_CHECKING:
    from gateway.settings import Settings

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (compared with, never bound)


@dataclass(frozen=True, slots=True)
class Address:
    """An API and the token for it."""

    url: str
    token: str = field(repr=False)
    certificate: Path | None = None
    """Of the gateway on this machine: trusted as it is, by whatever name it was issued."""

    def tls(self) -> ssl.SSLContext:
        """What verifies the server."""
        if not self.url.startswith("https:"):
            # It is not asked for, and trusts nobody; to load whom the system trusts would take 20 ms of each command.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.certificate is None:
            return ssl.create_default_context()
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


def settings_of(config: Path | None) -> "Settings":
    """The settings; ``Failed`` with file, key and remedy."""
    # Here, because a client of another machine's gateway has no settings to read.
    from gateway.settings import SettingsInvalid, load_settings

    try:
        return load_settings(config)
    except SettingsInvalid as error:
        raise Failed(str(error)) from None


def admin_address(config: Path | None) -> Address:
    """The admin API to talk to. Raises ``Failed``."""
    url, token = os.environ.get("GATEPOST_URL", ""), os.environ.get("GATEPOST_TOKEN", "")
    if url:
        if not token:
            raise Failed(
                "GATEPOST_URL is set, but GATEPOST_TOKEN is not: set it to a token made by gatepost token create"
            )
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise Failed(f"GATEPOST_URL {url!r} is no URL: write it like https://gatepost.example:8090")
        return Address(url.rstrip("/"), token)
    settings = settings_of(config)
    where = listening(settings, "admin")
    certificate = Path(settings.tls.certificate) if settings.tls.certificate else None
    return Address(where, token or _token_for(where, Path(settings.gateway.data_dir)), certificate)


def _token_for(url: str, data_dir: Path) -> str:
    """The local token, for a gateway that runs: without one, anybody on this machine may listen at its address."""
    token = _local_token(data_dir)
    if not url.startswith("https:") and not holder_of(data_dir):
        raise Failed(f"no Gatepost with data_dir {data_dir} runs here: start it with gatepost run")
    return token


def listening(settings: "Settings", part: str) -> str:
    """The first URL at which a part (``admin``, ``inventory``) listens on this machine. Raises ``Failed``."""
    try:
        told = json.loads((Path(settings.gateway.data_dir) / LISTENING_FILE).read_text("utf-8"))
        urls = [str(url) for url in told.get(part, [])]
    except (OSError, ValueError, AttributeError):
        urls = []
    urls = urls or [str(url) for url in getattr(settings, part).listen]
    if not urls:
        raise Failed(f"nothing listens for {part} here: set [{part}] listen, or GATEPOST_URL to where it does")
    if urlsplit(urls[0]).port == 0:
        # The system chose the port, and only a gateway that runs knows which.
        raise Failed(f"no Gatepost with data_dir {settings.gateway.data_dir} runs here: start it with gatepost run")
    return _reachable(urls[0])


def _reachable(url: str) -> str:
    parts = urlsplit(url)
    host = _ANYWHERE.get(parts.hostname or "", parts.hostname or "")
    name = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{name}:{parts.port}" if parts.port else name, "", "", ""))


def _local_token(data_dir: Path) -> str:
    path = data_dir / TOKEN_FILE
    try:
        return path.read_text("utf-8").strip()
    except PermissionError:
        raise Failed(f"{path} may not be read by this user: use the gateway's user, or set GATEPOST_TOKEN") from None
    except (OSError, UnicodeDecodeError):
        raise Failed(
            f"no token: {path} is not there (the first gatepost run writes it);"
            " elsewhere set GATEPOST_URL and GATEPOST_TOKEN"
        ) from None
