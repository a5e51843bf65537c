"""Signatures by Standard Webhooks, compared with the reference library and with a vector made elsewhere."""

import base64
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gateway.domain.errors import InvalidValue
from gateway.inventory.sources.push.secrets import PUBLIC, SHARED, key_of, new_secret
from gateway.inventory.sources.push.signatures import SIGNATURES_AT_MOST, TOLERANCE_SECONDS, read_headers, sign
from tests.inventory.events import SAMPLES, sample
from tests.inventory.receiving import OTHER_SECRET, SECRET, v1

MESSAGE_IDS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
SECRETS = st.binary(min_size=24, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())


def headers(signature: str, message_id: str = "msg_1", timestamp: str = "1795162622") -> dict[str, str]:
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}


def pair() -> tuple[str, str]:
    """A private and a public key as secrets are spelled."""
    key = Ed25519PrivateKey.generate()
    private = base64.b64encode(key.private_bytes_raw()).decode()
    return f"whsk_{private}", f"whpk_{base64.b64encode(key.public_key().public_bytes_raw()).decode()}"


def test_the_vector_of_the_sample() -> None:
    vector = sample("signature-vector.json")
    body = (SAMPLES / vector["body_file"]).read_bytes()
    signed = read_headers({name: value for name, value in vector.items() if name.startswith("webhook-")})
    assert signed.fits(body, [vector["secret"]])
    made = sign(vector["webhook-id"], int(vector["webhook-timestamp"]), body, vector["secret"])
    assert made == vector["webhook-signature"]
    # Written anew it is another message, though it means the same.
    assert not signed.fits(json.dumps(json.loads(body)).encode(), [vector["secret"]])


@given(MESSAGE_IDS, SECRETS, st.text(), st.integers(min_value=0, max_value=10**11))
def test_signs_as_the_reference_does(message_id: str, secret: str, body: str, timestamp: int) -> None:
    octets = body.encode("utf-8", "replace")
    at = datetime.fromtimestamp(timestamp, UTC)
    made = sign(message_id, timestamp, octets, secret)
    assert made == Webhook(secret).sign(message_id, at, octets.decode())
    assert made == v1(secret, message_id, timestamp, octets)


@given(MESSAGE_IDS, SECRETS, st.binary())
def test_the_reference_accepts_what_we_sign(message_id: str, secret: str, body: bytes) -> None:
    now = int(datetime.now(UTC).timestamp())
    given_headers = headers(sign(message_id, now, body, secret), message_id, str(now))
    text = body.decode("latin-1")
    octets = text.encode()
    given_headers["webhook-signature"] = sign(message_id, now, octets, secret)
    # The reference parses the verified content as JSON, which these octets need not be.
    try:
        Webhook(secret).verify(octets, given_headers)
    except WebhookVerificationError:
        raise
    except ValueError:
        pass
    assert read_headers(given_headers).fits(octets, [secret])


@given(st.binary(max_size=200), st.data())
def test_one_changed_bit_is_another_message(body: bytes, data: st.DataObject) -> None:
    private, public = pair()
    signed = read_headers(
        headers(f"{sign('msg_1', 1795162622, body, SECRET)} {sign('msg_1', 1795162622, body, private)}")
    )
    assert signed.fits(body, [SECRET])
    assert signed.fits(body, [public])
    place = data.draw(st.integers(0, max(0, len(body) * 8 - 1)))
    changed = bytearray(body or b"\0")
    if body:
        changed[place // 8] ^= 1 << place % 8
    assert not signed.fits(bytes(changed), [SECRET, public])


def test_the_id_and_the_timestamp_are_signed_too() -> None:
    made = sign("msg_1", 1795162622, b"{}", SECRET)
    assert read_headers(headers(made)).fits(b"{}", [SECRET])
    assert not read_headers(headers(made, message_id="msg_2")).fits(b"{}", [SECRET])
    assert not read_headers(headers(made, timestamp="1795162623")).fits(b"{}", [SECRET])
    # A shift between the parts gives other octets, because an id has no full stop.
    assert not read_headers(headers(made, message_id="msg_1-1795162622", timestamp="1795162622")).fits(b"{}", [SECRET])


def test_each_kind_of_key_checks_its_own_version_only() -> None:
    private, public = pair()
    ours, theirs = sign("msg_1", 1795162622, b"{}", SECRET), sign("msg_1", 1795162622, b"{}", private)
    assert read_headers(headers(ours.replace("v1,", "v1a,"))).fits(b"{}", [SECRET, public]) is False
    assert read_headers(headers(theirs.replace("v1a,", "v1,"))).fits(b"{}", [SECRET, public]) is False
    assert read_headers(headers(theirs)).fits(b"{}", [SECRET]) is False
    assert read_headers(headers(ours)).fits(b"{}", [public]) is False
    # A public key is no shared secret, though everybody may know its octets.
    forged = v1("whsec_" + public.removeprefix("whpk_"), "msg_1", "1795162622", b"{}")
    assert read_headers(headers(forged)).fits(b"{}", [public]) is False
    # The private key stays with the sender; as a secret of ours it accepts nothing.
    assert read_headers(headers(theirs)).fits(b"{}", [private]) is False


def test_secrets_are_exchanged_without_a_gap() -> None:
    old, new = (sign("msg_1", 1795162622, b"{}", secret) for secret in (OTHER_SECRET, SECRET))
    for made in (old, new, f"{old} {new}", f"v2,AAAA {new}", f"v1,{base64.b64encode(bytes(32)).decode()} {old}"):
        assert read_headers(headers(made)).fits(b"{}", [SECRET, OTHER_SECRET]), made
    assert not read_headers(headers(old)).fits(b"{}", [SECRET])
    assert not read_headers(headers(f"{old} {new}")).fits(b"{}", [])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("webhook-id", "", "webhook-id is missing"),
        ("webhook-timestamp", "", "webhook-timestamp is missing"),
        ("webhook-signature", "", "webhook-signature is missing"),
        ("webhook-id", "a.b", "webhook-id has 1 to 128"),
        ("webhook-id", "a" * 129, "webhook-id has 1 to 128"),
        ("webhook-id", "ä", "webhook-id has 1 to 128"),
        ("webhook-id", "a\n", "webhook-id has 1 to 128"),
        ("webhook-timestamp", "-1", "whole seconds"),
        ("webhook-timestamp", "1e9", "whole seconds"),
        ("webhook-timestamp", "1795162622.0", "whole seconds"),
        ("webhook-timestamp", "1" * 13, "whole seconds"),
        ("webhook-timestamp", "١٧٩٥١٦٢٦٢٢", "whole seconds"),
        ("webhook-timestamp", " 1795162622", "whole seconds"),
        ("webhook-signature", "v1", "is a list of"),
        ("webhook-signature", "v1,AAAA  v1,AAAA", "is a list of"),
        ("webhook-signature", "v1,AAAA AAAA", "is a list of"),
        ("webhook-signature", "v1,***", "no base64"),
        ("webhook-signature", "v1,A", "no base64"),
        ("webhook-signature", "v1,ÄÄÄÄ", "no base64"),
        ("webhook-signature", " ".join(["v1,AAAA"] * (SIGNATURES_AT_MOST + 1)), "more than 8 signatures"),
    ],
)
def test_headers_that_are_not_read(field: str, value: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        read_headers({**headers("v1,AAAA"), field: value})


@pytest.mark.parametrize("signature", ["v1,", "v1,AAAA", "v2,AAAA", "V1,AAAA", "v1," + "A" * 4000])
def test_signatures_that_fit_nothing(signature: str) -> None:
    _, public = pair()
    assert not read_headers(headers(signature)).fits(b"{}", [SECRET, public])


def test_the_tolerance_is_both_ways() -> None:
    signed = read_headers(headers("v1,AAAA", timestamp="1000000"))
    for now, fresh in [(0, True), (TOLERANCE_SECONDS, True), (TOLERANCE_SECONDS + 0.5, False)]:
        assert signed.is_fresh(1_000_000 + now) is fresh
        assert signed.is_fresh(1_000_000 - now) is fresh


def test_a_new_secret_is_one_that_the_reference_takes() -> None:
    made = new_secret()
    assert made != new_secret()
    assert key_of(made) == (SHARED, base64.b64decode(made.removeprefix(SHARED)))
    assert sign("msg_1", 1, b"", made) == Webhook(made).sign("msg_1", datetime.fromtimestamp(1, UTC), "")


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "begins with whsec_"),
        ("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "begins with whsec_"),
        ("whsec_", "the secret has 0 bytes: whsec_ takes 24 to 64"),
        ("whsec_!!!!", "is no base64"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "has 23 bytes"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "has 65 bytes"),
        ("whpk_" + base64.b64encode(bytes(31)).decode(), "has 31 bytes"),
        ("whpk_" + base64.b64encode(bytes(33)).decode(), "has 33 bytes"),
        ("whsk_" + base64.b64encode(bytes(33)).decode(), "has 33 bytes"),
        ("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "is no base64"),
        ("whsec_ä", "is no base64"),
    ],
)
def test_what_is_no_secret(secret: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words) as refused:
        key_of(secret)
    assert len(secret) <= len("whsec_") or secret not in str(refused.value)


def test_a_private_key_may_carry_its_public_half() -> None:
    private, public = pair()
    both = base64.b64decode(private.removeprefix("whsk_")) + base64.b64decode(public.removeprefix(PUBLIC))
    long = "whsk_" + base64.b64encode(both).decode()
    assert sign("msg_1", 1, b"{}", long) == sign("msg_1", 1, b"{}", private)
    with pytest.raises(InvalidValue, match="cannot sign"):
        sign("msg_1", 1, b"{}", public)
