"""Mailboxes (Dovecot) and delivery (Postfix), with configurations of their own in one directory.

Mail for the domain ``corp.example`` goes from Postfix to Dovecot by LMTP; mail for anybody else is refused.
"""

import imaplib
import smtplib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from tests.live.children import Child
from tests.live.mail_children import know_users, make_room_for_mail, run_dovecot, run_postfix

DOMAIN = "corp.example"
PASSWORD = "secret"
FOLDERS = ("INBOX", "Drafts", "Sent", "Trash", "Junk")
MAX_MESSAGE_BYTES = 60 * 2**20
ARRIVAL_SECONDS = 20.0

DOVECOT = """
base_dir = {directory}/run
state_dir = {directory}/state
instance_name = gatepost-live
log_path = /dev/stderr
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %Ln
first_valid_uid = 1
mail_location = maildir:~/Maildir
# Every login comes from the address of the groupware or of the gateway.
mail_max_userip_connections = 1000
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
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@{domain}
}}
namespace inbox {{
  inbox = yes
  separator = /
{folders}
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
myhostname = mail.{domain}
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = static:any
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
default_transport = error:nothing leaves this machine
smtpd_relay_restrictions = permit_mynetworks, reject
message_size_limit = {max_message}
mailbox_size_limit = 0
virtual_mailbox_limit = 0
"""

POSTFIX_MASTER = """
{smtp}     inet  n - n - - smtpd
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
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


def start_dovecot(directory: Path, users: Iterable[str], imap: int, lmtp: int) -> Child:
    """Mailboxes for ``users``, each with the same password."""
    directory.mkdir()
    make_room_for_mail(directory)
    know_users(directory, users, PASSWORD)
    folders = "\n".join(f"  mailbox {name} {{\n    auto = subscribe\n  }}" for name in FOLDERS[1:])
    words = {"imap": imap, "lmtp": lmtp, "domain": DOMAIN, "folders": folders}
    return run_dovecot(directory, DOVECOT.format(directory=directory, **words), imap)


def start_postfix(directory: Path, smtp: int, lmtp: int) -> Child:
    """Delivery into the mailboxes behind ``lmtp``."""
    main = POSTFIX_MAIN.format(directory=directory, domain=DOMAIN, lmtp=lmtp, max_message=MAX_MESSAGE_BYTES)
    return run_postfix(directory, main, POSTFIX_MASTER.format(smtp=f"127.0.0.1:{smtp}"), smtp)


@dataclass(frozen=True, slots=True)
class Mail:
    """The mail servers as a colleague uses them: SMTP in, IMAP out."""

    smtp: int
    imap: int

    def send(self, to: str, subject: str, text: str = "Hello.", *, attachment: bytes = b"") -> None:
        """Give a message to Postfix."""
        message = EmailMessage()
        message["From"], message["To"] = f"colleague@{DOMAIN}", f"{to}@{DOMAIN}"
        message["Subject"], message["Date"], message["Message-ID"] = subject, formatdate(), make_msgid(domain=DOMAIN)
        message.set_content(text)
        if attachment:
            message.add_attachment(attachment, maintype="application", subtype="octet-stream", filename="large.bin")
        with smtplib.SMTP("127.0.0.1", self.smtp, timeout=20) as server:
            server.send_message(message)

    def login(self, user: str) -> imaplib.IMAP4:
        """A session of ``user``."""
        session = imaplib.IMAP4("127.0.0.1", self.imap, timeout=20)
        session.login(user, PASSWORD)
        return session

    def enable_condstore(self, user: str) -> None:
        """Have Dovecot keep modification sequences of each folder: SOGo shows no mail before that."""
        with self.login(user) as session:
            session.enable("CONDSTORE")
            for folder in FOLDERS:
                session.select(folder)

    def until_arrived(self, user: str, subject: str) -> bytes:
        """Wait for a message with a subject in the Inbox."""
        give_up_at = time.monotonic() + ARRIVAL_SECONDS
        while time.monotonic() < give_up_at:
            if found := self.messages(user, subject):
                return found[0]
            time.sleep(0.05)
        raise AssertionError(f"no mail {subject!r} for {user}")

    def messages(self, user: str, subject: str, folder: str = "INBOX") -> list[bytes]:
        """The messages with a subject, whole."""
        with self.login(user) as session:
            session.select(folder, readonly=True)
            _, (numbers,) = session.search(None, "SUBJECT", f'"{subject}"')
            found = [session.fetch(number, "(BODY.PEEK[])")[1][0] for number in numbers.decode().split()]
            return [part[1] for part in found if isinstance(part, tuple)]
