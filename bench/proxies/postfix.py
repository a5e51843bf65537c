"""A Postfix for submission: by itself, asking a minimal policy service about each recipient, and asking Gatepost.

Logins are checked by a Dovecot, whose time nobody counts. What is accepted is queued and thrown away.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.certificate import Certificate
from bench.machine import PROXY_CORE, Missing, need, on_core, python_child
from tests.live.askers.servers import missing, start_dovecot
from tests.live.children import free_ports, run, start
from tests.live.mail_children import PASSED_ON, master_program

_MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/state
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtpd_peername_lookup = no
myhostname = mail.corp.example
mydestination =
mynetworks =
alias_maps =
alias_database =
local_recipient_maps =
default_transport = discard:
message_size_limit = 104857600
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_client_connection_count_limit = 0
"""
_SERVICE = """
127.0.0.1:{plain} inet n - n - - smtpd {more}
127.0.0.1:{secure} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes {more}
"""
_ASKS = (
    "-o {{ smtpd_recipient_restrictions = check_policy_service {{ {place}, timeout=3s }},"
    " permit_sasl_authenticated, reject }}"
)
_MASTER = """
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


@dataclass(frozen=True, slots=True)
class Postfix:
    """One that runs."""

    root: int
    """Its first process."""
    policy: int
    """That of the minimal policy service."""
    ports: Mapping[str, dict[str, int]]
    """By whom it asks (``""``, ``policy``, ``gatepost``) and scheme."""


@contextmanager
def postfix(
    directory: Path, users: Iterable[str], gatepost_socket: Path, certificate: Certificate
) -> Iterator[Postfix]:
    """Start it on the core of proxies; ``gatepost_socket``: where Gatepost answers it. Raises ``Missing``."""
    need("postfix", "dovecot")
    if reason := missing("postfix", "dovecot"):
        raise Missing(reason)
    directory.mkdir()
    directory.chmod(0o755)
    socket = directory / "policy"
    places = {"": "", "policy": f"unix:{socket}", "gatepost": f"unix:{gatepost_socket}"}
    numbers = iter(free_ports(2 * len(places)))
    ports = {name: {"smtp": next(numbers), "smtps": next(numbers)} for name in places}
    imap, pop3, auth = free_ports(3)
    config = _written(directory, places, ports, auth, certificate)
    with python_child(PROXY_CORE, "bench.proxies.policy_service", str(socket)) as policy:
        dovecot = start_dovecot(directory / "logins", users, imap=imap, pop3=pop3, auth=auth)
        with on_core(PROXY_CORE):
            # Not by "postfix start-fg": its master runs in a session of its own and would outlive us.
            master = ("sh", "-c", PASSED_ON, "sh", str(master_program()), "-c", str(config), "-d")
            child = start("postfix", master, directory)
        try:
            for each in ports.values():
                child.until_port(each["smtp"])
            yield Postfix(child.running.pid, policy.pid, ports)
        finally:
            child.stop()
            dovecot.stop()


def _written(
    directory: Path, places: Mapping[str, str], ports: Mapping[str, dict[str, int]], auth: int, made: Certificate
) -> Path:
    config = directory / "config"
    config.mkdir()
    for name, owner in (("queue", "root"), ("state", "postfix")):
        (directory / name).mkdir()
        shutil.chown(directory / name, owner)
    main = _MAIN.format(dir=directory, auth=auth, certificate=made.certificate, key=made.key)
    (config / "main.cf").write_text(main)
    services = (
        _SERVICE.format(
            plain=ports[name]["smtp"],
            secure=ports[name]["smtps"],
            more=_ASKS.format(place=place) if place else "",
        )
        for name, place in places.items()
    )
    (config / "master.cf").write_text("".join(services) + _MASTER)
    run(("postfix", "-c", str(config), "check"), directory)
    return config
