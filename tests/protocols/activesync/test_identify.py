"""Whom a bearer token stands for, as the settings say."""

import base64
import json
from typing import Any

import pytest

from gateway.app.parts import identity_of
from gateway.protocols.activesync.identify import Asked, identify
from gateway.protocols.http.request_head import parse_request
from gateway.settings import Settings


def asked(claims: dict[str, str], **identity: Any) -> str | None:
    """The login that is judged; None: nobody's."""
    owner = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    head = (
        "POST /Microsoft-Server-ActiveSync?Cmd=FolderSync&DeviceId=phone1&DeviceType=iPhone HTTP/1.1\r\n"
        f"Host: mail.example\r\nAuthorization: Bearer e30.{owner}.c2ln\r\nContent-Length: 0\r\n\r\n"
    )
    rules = identity_of(Settings.model_validate({"identity": identity}))
    found = identify(parse_request(head.encode()), "192.0.2.1", rules)
    return found.request.login if isinstance(found, Asked) and found.request else None


@pytest.mark.parametrize(
    ("claims", "usual", "by_email"),
    [
        ({"preferred_username": "boss@corp.example", "email": "anna@corp.example"}, "boss@corp.example", "anna"),
        ({"preferred_username": "boss@corp.example"}, "boss@corp.example", None),
        ({"email": "anna@corp.example"}, "anna@corp.example", "anna"),
    ],
)
def test_the_claim_that_names_the_person(claims: dict[str, str], usual: str, by_email: str | None) -> None:
    assert asked(claims) == usual
    assert asked(claims, token_claim="email") == (by_email and f"{by_email}@corp.example")
