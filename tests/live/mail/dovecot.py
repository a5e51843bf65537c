"""A Dovecot with IMAP and POP3, in the clear, with STARTTLS and with TLS first, that trusts the gateway's addresses."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.live.children import Child, free_ports
from tests.live.mail_children import know_users, make_room_for_mail, run_dovecot
from tests.live.mail_servers import PASSWORD
from tests.live.tokens import accept_tokens
from tests.support.phone_certificates import Certificates

CONFIGURATION = """
base_dir = {directory}/run
state_dir = {directory}/state
instance_name = gatepost-mail
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
# Who speaks for whom is believed of the gateway.
login_trusted_networks = 127.0.0.0/8
first_valid_uid = 1
mail_location = maildir:~/Maildir
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
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
# Wrong logins of one test would slow down those that follow it.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
namespace inbox {{
  inbox = yes
}}
"""


@dataclass(frozen=True, slots=True)
class Dovecot:
    """The server as others reach it."""

    child: Child
    ports: dict[str, int]
    """By scheme: imap, imaps, pop3, pop3s."""
    certificates: Certificates

    def url(self, scheme: str) -> str:
        """For the gateway's settings; ``imap+starttls`` is on the port of ``imap``."""
        return f"{scheme}://127.0.0.1:{self.ports[scheme.partition('+')[0]]}"

    def said(self) -> str:
        """Its whole log so far."""
        return self.child.log.read_text(errors="replace")


def start_dovecot(directory: Path, users: Iterable[str], certificates: Certificates) -> Dovecot:
    """Mailboxes for ``users``, each with the same password."""
    directory.mkdir()
    make_room_for_mail(directory)
    know_users(directory, users, PASSWORD)
    ports = dict(zip(("imap", "imaps", "pop3", "pop3s"), free_ports(4), strict=True))
    accept_tokens(directory)
    files = {"certificate": certificates.certificate, "key": certificates.key}
    configuration = CONFIGURATION.format(directory=directory, **files, **ports)
    return Dovecot(run_dovecot(directory, configuration, *ports.values()), ports, certificates)
