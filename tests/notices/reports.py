"""Delivery status notifications as mail servers write them."""

HEAD = """\
Return-Path: <>
From: MAILER-DAEMON@mail.test (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: notices@corp.example
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary="b"

--b
Content-Description: Notification
Content-Type: text/plain

This is the mail system. Your message could not be delivered.

--b
Content-Description: Delivery report
Content-Type: message/{kind}

Reporting-MTA: dns; mail.test
{envelope}X-Postfix-Queue-ID: 4D2F1

Final-Recipient: {address_type}; {recipient}
Original-Recipient: {address_type};{recipient}
Action: {action}
Status: {status}
Remote-MTA: dns; mx.other.example
Diagnostic-Code: smtp; 550 5.1.1 <{recipient}>:
    no such user here

--b
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

From: IT Mail Access <notices@corp.example>
To: {recipient}
Message-ID: {message_id}
Subject: Mail access on your phone (notice GP-1)

--b--
"""


def report(
    key: str = "",
    recipient: str = "ann@corp.example",
    *,
    message_id: str = "<other@mail.test>",
    action: str = "failed",
    status: str = "5.1.1",
    kind: str = "delivery-status",
    address_type: str = "rfc822",
) -> bytes:
    """One about a notice with this key, or with this Message-ID where the envelope id was dropped."""
    text = HEAD.format(
        kind=kind,
        envelope=f"Original-Envelope-Id: {key}\n" if key else "",
        recipient=recipient,
        action=action,
        status=status,
        message_id=message_id,
        address_type=address_type,
    )
    return text.replace("\n", "\r\n").encode()
