"""What a bearer token says of itself."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.activesync.token_claims import CLAIMS_LONGEST, TokenClaims, read_claims


def token(claims: object, *, raw: bytes | None = None) -> bytes:
    encoded = base64.urlsafe_b64encode(json.dumps(claims).encode() if raw is None else raw).rstrip(b"=")
    return b"eyJhbGciOiJSUzI1NiJ9." + encoded + b".c2ln"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"upn": "ada@corp.example", "exp": 1767225600}, TokenClaims("ada@corp.example", 1767225600.0)),
        ({"email": "b@c", "preferred_username": "a@c", "exp": 1.5}, TokenClaims("a@c", 1.5)),
        ({"upn": 7, "unique_name": "CORP\\ada"}, TokenClaims("CORP\\ada", None)),
        ({"upn": "a\nb", "exp": "soon"}, TokenClaims("", None)),
        ({"upn": "a" * 300, "exp": True}, TokenClaims("", None)),
        ({"exp": -1}, TokenClaims("", None)),
        ({"exp": float("inf")}, TokenClaims("", None)),
        ({"exp": float("nan")}, TokenClaims("", None)),
        ({"exp": 10**400}, TokenClaims("", None)),
        ({}, TokenClaims("", None)),
    ],
)
def test_claims(claims: object, expected: TokenClaims) -> None:
    assert read_claims(token(claims)) == expected


@pytest.mark.parametrize(
    ("claims", "owner"),
    [
        ({"upn": "a@c", "email": "b@c"}, "b@c"),
        ({"upn": "a@c"}, ""),
        ({"upn": "a@c", "email": 7}, ""),
        ({"upn": "a@c", "email": "b\nc"}, ""),
    ],
)
def test_where_one_claim_counts_no_other_does(claims: object, owner: str) -> None:
    """What a user may change must not stand for what the mail server goes by."""
    read = read_claims(token(claims), owner="email")
    assert read is not None
    assert read.owner == owner


@pytest.mark.parametrize(
    "opaque",
    [
        b"",
        b"opaque",
        b"a.b",
        b"a.b.c.d.e",
        token([1]),
        token("text"),
        token(None, raw=b"\xff\xff"),
        token(None, raw=b"[" * 9000),
        token(None, raw=b'{"a":' * 1500),
        token(None, raw=b"1" * 8000),
        token({"upn": "x" * CLAIMS_LONGEST}),
    ],
)
def test_tokens_without_claims(opaque: bytes) -> None:
    assert read_claims(opaque) is None


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda raw: token(None, raw=raw)))
def test_any_octets_are_read(octets: bytes) -> None:
    claims = read_claims(octets)
    assert claims is None or claims.owner.isprintable()
