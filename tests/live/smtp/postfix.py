"""A Postfix for submission whose logins a Dovecot checks: in the clear with STARTTLS, with TLS first, behind PROXY.

It takes XCLIENT from the gateway's addresses, delivers every message into one directory, and relays for nobody who has
not logged in.
"""

import pwd
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.live.children import Child, free_ports
from tests.live.mail_children import know_users, make_for, run_dovecot, run_postfix
from tests.live.mail_servers import PASSWORD
from tests.live.tokens import accept_tokens
from tests.support.phone_certificates import Certificates

DOMAIN = "corp.example"
MESSAGE_MOST = 40 << 20
ARRIVAL_SECONDS = 20.0

DOVECOT = """
base_dir = {directory}/run
state_dir = {directory}/state
instance_name = gatepost-submission
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
# Everybody sees all that has arrived.
mail_location = maildir:{directory}/mail/all
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
first_valid_uid = 1
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {directory}/tokens.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = {directory}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={directory}/mail/%n
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service auth {{
  unix_listener {directory}/submission {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""

MAIN = """
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/state-postfix
maillog_file = {directory}/maillog
maillog_file_prefixes = {directory}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
myhostname = mail.{domain}
mydestination =
mynetworks =
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = static:all/
virtual_mailbox_base = {directory}/mail
virtual_transport = virtual
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_mailbox_limit = 0
mailbox_size_limit = 0
message_size_limit = {most}
default_transport = error:nothing leaves this machine
# The mail server of others, where a test has one.
transport_maps = inline:{{ elsewhere.example=smtp:[127.0.0.1]:{mx} }}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {directory}/submission
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_client_connection_count_limit = 0
notify_classes =
"""

MASTER = """
127.0.0.1:{smtp}   inet  n - n - - smtpd
127.0.0.1:{smtps}  inet  n - n - - smtpd -o smtpd_tls_wrappermode=yes
127.0.0.1:{proxy}  inet  n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy
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
smtp      unix  - - n - - smtp
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
tlsmgr    unix  - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """The server as others reach it."""

    directory: Path
    children: tuple[Child, ...]
    ports: dict[str, int]
    """``smtp``, ``smtps``, ``proxy``; ``imap`` shows what has arrived to whoever has an account;
    ``mx`` is where mail for elsewhere.example goes to, if a test listens there."""
    certificates: Certificates

    def url(self, scheme: str) -> str:
        """For the gateway's settings; ``smtp+starttls`` is on the port of ``smtp``."""
        return f"{scheme}://127.0.0.1:{self.ports[scheme.partition('+')[0]]}"

    def said(self) -> str:
        """Its whole log so far."""
        return (self.directory / "maillog").read_text(errors="replace")

    def arrived(self, subject: str) -> list[bytes]:
        """The messages with a subject, without the lines that Postfix puts before them."""
        wanted = b"\nSubject: " + subject.encode() + b"\n"
        found = [path.read_bytes() for path in (self.directory / "mail" / "all" / "new").glob("*")]
        return [_without_trace(each) for each in found if wanted in each.partition(b"\n\n")[0] + b"\n"]

    def until_arrived(self, subject: str) -> bytes:
        """Wait for one."""
        give_up_at = time.monotonic() + ARRIVAL_SECONDS
        while time.monotonic() < give_up_at:
            if found := self.arrived(subject):
                return found[0]
            time.sleep(0.05)
        raise AssertionError(f"no message {subject!r}: {self.said()[-3000:]}")

    def until_said(self, expression: str) -> str:
        """Wait for a line of its log."""
        give_up_at = time.monotonic() + ARRIVAL_SECONDS
        while time.monotonic() < give_up_at:
            if found := re.search(expression, self.said()):
                return found[0]
            time.sleep(0.05)
        raise AssertionError(f"no {expression!r}: {self.said()[-3000:]}")

    def stop(self) -> None:
        """End it."""
        for child in self.children:
            child.stop()


def _without_trace(message: bytes) -> bytes:
    """Return-Path, X-Original-To, Delivered-To and Received are Postfix's own; the client's lines come after."""
    own = re.compile(rb"(?:Return-Path|X-Original-To|Delivered-To|Received):[^\n]*\n(?:[ \t][^\n]*\n)*")
    while found := own.match(message):
        message = message[found.end() :]
    return message


def start_submission(directory: Path, users: Iterable[str], certificates: Certificates) -> Postfix:
    """A Postfix, and the Dovecot that knows ``users``, each with the same password."""
    directory.mkdir()
    directory.chmod(0o755)
    know_users(directory, (f"{user}@{DOMAIN}" for user in users), PASSWORD)
    imap, mx, *ports = free_ports(5)
    named = dict(zip(("smtp", "smtps", "proxy"), ports, strict=True))
    accept_tokens(directory)
    dovecot = run_dovecot(directory, DOVECOT.format(directory=directory, port=imap), imap)
    make_for(directory / "mail", "mail")
    mail = pwd.getpwnam("mail")
    files = {"certificate": certificates.certificate, "key": certificates.key}
    main = MAIN.format(
        directory=directory, domain=DOMAIN, most=MESSAGE_MOST, uid=mail.pw_uid, gid=mail.pw_gid, mx=mx, **files
    )
    child = run_postfix(directory, main, MASTER.format(**named), *named.values(), state="state-postfix")
    return Postfix(directory, (child, dovecot), {**named, "imap": imap, "mx": mx}, certificates)
