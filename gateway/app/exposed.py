"""What others could read or change, by what the settings and the files' modes say: sentences for ``gatepost check``.

On the machine: whoever is another user there. On the network: whatever goes beyond this machine without TLS, unless
something before or behind Gatepost protects it, which cannot be seen from here.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from gateway.app.parts import DATABASE_FILE, NOTICE_KEY_FILE, data_dir_of
from gateway.network.addresses import read_address
from gateway.settings import MailSection, Settings, SmtpSection

_SENT = {
    "admin": "operators' tokens",
    "inventory": "inventories",
    "http": "users' passwords and mail",
    "notices": "the links by which readers say that a notice is wrong",
}
_OR_WITHIN_TLS = {"authz": ", or use https", "envoy": ", or use grpcs"}
_KEPT = (DATABASE_FILE, f"{DATABASE_FILE}-wal", "admin-token", NOTICE_KEY_FILE)


def exposed(settings: Settings) -> list[str]:
    """A sentence with the remedy for each; reads nothing but modes, and never raises."""
    return [*_on_the_machine(data_dir_of(settings)), *_on_the_network(settings)]


def _on_the_machine(data_dir: Path) -> Iterator[str]:
    mode = _mode(data_dir)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield f"other users of this machine may put files into {data_dir}, a database of their own too: chmod 700"
    if not mode & (stat.S_IXGRP | stat.S_IXOTH):
        return
    for name in _KEPT:
        if _mode(data_dir / name) & (stat.S_IRWXG | stat.S_IRWXO):
            yield f"other users of this machine may read {data_dir / name}, which holds secrets: chmod 600"


def _mode(path: Path) -> int:
    """Its permissions; none for a file that is not there."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return 0


def _on_the_network(settings: Settings) -> Iterator[str]:
    for part, sent in _SENT.items():
        for url in getattr(settings, part).listen:
            if _in_clear(url, "http"):
                yield f"[{part}] listen {url}: {sent} are in clear on the network, unless TLS ends before it: use https"
    for part, scheme in (("authz", "http"), ("haproxy", "tcp"), ("postfix", "tcp"), ("envoy", "grpc")):
        for url in getattr(settings, part).listen:
            if _in_clear(url, scheme):
                yield (
                    f"[{part}] listen {url}: the askers' key, users' names and passwords are in clear on the network: "
                    "listen on an address of this machine or a unix socket" + _OR_WITHIN_TLS.get(part, "")
                )
    for cut in settings.authz.cuts:
        if _in_clear(cut.doveadm, "http"):
            yield f"[authz] cuts: {cut.doveadm}: its key, which may do anything, is in clear on the network: use https"
    for url in settings.haproxy.runtime:
        if _in_clear(url, "tcp"):
            yield (
                f"[haproxy] runtime {url}: whoever reaches that port may do anything with HAProxy: "
                "use its unix socket, or an address of this machine"
            )
    for url in settings.http.upstream:
        if _in_clear(url, "http"):
            yield f"[http] upstream {_place(url)}: users' passwords and mail are in clear on the network: use https"
    for part in ("imap", "pop3", "smtp"):
        yield from _mail_in_clear(part, getattr(settings, part))
    if _in_clear(settings.redis.url, "redis"):
        yield (
            f"[redis] url {_place(settings.redis.url)}: whoever is on the network may read it, and write there that "
            "a phone is clean: use rediss"
        )


def _mail_in_clear(part: str, section: MailSection | SmtpSection) -> Iterator[str]:
    """Without TLS nobody logs in, unless that is wanted; and ``+starttls`` never goes on without it."""
    for url in section.listen:
        if section.cleartext_login and _in_clear(url, part):
            yield (
                f"[{part}] listen {url}: {_SENT['http']} are in clear on the network, unless TLS ends before it: "
                f"use {part}s, or cleartext_login = false"
            )
    if section.listen and _in_clear(section.upstream, part):
        yield (
            f"[{part}] upstream {_place(section.upstream)}: {_SENT['http']} are in clear on the network: "
            f"use {part}s or {part}+starttls"
        )


def _in_clear(url: str, scheme: str) -> bool:
    parts = urlsplit(url)
    address = read_address(parts.hostname or "")
    loopback = parts.hostname == "localhost" or (address is not None and address.is_loopback)
    return parts.scheme == scheme and not loopback


def _place(url: str) -> str:
    """Without the credentials."""
    return urlsplit(url).netloc.rpartition("@")[2]
