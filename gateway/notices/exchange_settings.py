"""Where Exchange is and who notices come from there. Times in seconds."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """One mailbox of one Exchange on premises."""

    url: str
    """``https://mail.example.com/EWS/Exchange.asmx``."""
    mailbox: str
    """Primary SMTP address that notices come from."""
    username: str
    """``DOMAIN\\name``, or the client's id with ``login`` "oauth"."""
    secret: str = field(repr=False)
    login: Literal["basic", "ntlm", "oauth"] = "basic"
    impersonate: bool = False
    """The login is a service account with the role ApplicationImpersonation; else it is the mailbox's own."""
    token_url: str = ""
    """Where tokens are issued, HTTPS."""
    scope: str = "https://outlook.office365.com/.default"
    """With spaces between several."""
    authority: str = ""
    """PEM file; empty: the usual authorities."""
    choose_message_id: bool = False
    """Set the Message-ID ourselves: some servers refuse it."""
    connections: int = 2
    connect_seconds: float = 30.0
    answer_seconds: float = 120.0
    """For a whole attempt; then it is ended."""
