"""Who sent a report is proved before anything in it is looked at, and what is not proved leaves no trace."""

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from gateway.inventory.sources.push.signatures import sign
from tests.inventory.events import NOW, SAMPLES, SUBJECT, TIKTOK, delta, full, sample
from tests.inventory.receiving import OTHER_SECRET, SECRET, Receiving, source, v1

NOT_AUTHENTIC = (401, "not_authentic")


async def test_the_samples_of_the_contract_are_taken(receiver: Receiving) -> None:
    vector = sample("signature-vector.json")
    receiver.now = float(vector["webhook-timestamp"]) + 1
    await receiver.write(source(secrets=(vector["secret"],)))
    given = {name: value for name, value in vector.items() if name.startswith("webhook-")}
    answer = await receiver.post((SAMPLES / vector["body_file"]).read_bytes(), **given)
    assert (answer.status_code, answer.json()) == (
        202,
        {"status": "applied", "sequence": 42, "next_report_seconds": 43200},
    )
    assert TIKTOK in await receiver.apps()
    receiver.now += 1500
    taken = await receiver.status(
        (SAMPLES / "agent-report-delta.cloudevent.json").read_bytes(), secret=vector["secret"]
    )
    assert taken == (202, "applied")
    assert await receiver.apps() == ["com.google.android.gm"]


async def test_a_wrong_secret_leaves_no_trace(receiver: Receiving) -> None:
    answer = await receiver.post(full(), secret=OTHER_SECRET, message_id="msg_1")
    assert answer.status_code == 401
    # RFC 9110 §11.6.1
    assert answer.headers["www-authenticate"]
    assert await receiver.inventory() is None
    assert not await receiver.remembered("msg_1")
    assert await receiver.sequence() == 0
    assert await receiver.status(full(), message_id="msg_1") == (202, "applied")


async def test_a_body_altered_on_its_way(receiver: Receiving) -> None:
    body = json.dumps(full(apps=(TIKTOK,))).encode()
    signature = v1(SECRET, "msg_1", int(NOW), body)
    cleaned = body.replace(TIKTOK.encode(), b"com.example.harmless")
    assert await receiver.status(cleaned, message_id="msg_1", webhook_signature=signature) == NOT_AUTHENTIC
    assert await receiver.status(body + b" ", message_id="msg_1", webhook_signature=signature) == NOT_AUTHENTIC
    assert await receiver.status(body, message_id="msg_2", webhook_signature=signature) == NOT_AUTHENTIC
    assert await receiver.status(body, message_id="msg_1", webhook_signature=signature) == (202, "applied")


@pytest.mark.parametrize(("off", "taken"), [(300, True), (-300, True), (301, False), (-301, False), (-86400, False)])
async def test_the_time_of_sending(receiver: Receiving, off: int, taken: bool) -> None:
    answer = await receiver.post(full(), timestamp=int(receiver.now) + off)
    assert (answer.status_code == 202) is taken
    if not taken:
        assert "more than 300 s from this machine's clock" in answer.json()["detail"]


async def test_a_caught_message_is_worth_nothing_later(receiver: Receiving) -> None:
    """Neither with its own timestamp nor with a new one."""
    body, then = json.dumps(full()).encode(), int(receiver.now)
    signature = v1(SECRET, "msg_1", then, body)
    receiver.now += 600
    caught = {"message_id": "msg_1", "webhook_signature": signature}
    assert await receiver.status(body, timestamp=then, **caught) == NOT_AUTHENTIC
    assert await receiver.status(body, timestamp=then + 600, **caught) == NOT_AUTHENTIC


@pytest.mark.parametrize("missing", ["webhook_id", "webhook_timestamp", "webhook_signature"])
async def test_a_missing_header(receiver: Receiving, missing: str) -> None:
    answer = await receiver.post(full(), **{missing: ""})
    assert answer.status_code == 401
    assert missing.replace("_", "-") in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook_signature": "v1"},
        {"webhook_signature": "v1,=="},
        {"webhook_signature": "v1," + "A" * 8000},
        {"webhook_signature": "v1a,AAAA"},
        {"webhook_signature": " ".join(["v1,AAAA"] * 17)},
        {"webhook_id": "a.b"},
        {"webhook_timestamp": "now"},
        {"webhook_timestamp": "1" * 400},
    ],
)
async def test_headers_that_prove_nothing(receiver: Receiving, headers: dict[str, str]) -> None:
    assert await receiver.status(full(), **headers) == NOT_AUTHENTIC


async def test_while_secrets_are_exchanged_both_count(receiver: Receiving) -> None:
    await receiver.write(source(secrets=(OTHER_SECRET, SECRET)))
    assert await receiver.status(full(1)) == (202, "applied")
    assert await receiver.status(full(2), secret=OTHER_SECRET) == (202, "applied")
    body, at = json.dumps(full(3)).encode(), int(receiver.now)
    both = " ".join(("v2,AAAA", v1(SECRET, "msg_3", at, b"other"), v1(OTHER_SECRET, "msg_3", at, body)))
    assert await receiver.status(body, message_id="msg_3", webhook_signature=both) == (202, "applied")
    await receiver.write(source(secrets=(OTHER_SECRET,)))
    assert await receiver.status(full(4)) == NOT_AUTHENTIC


async def test_an_ed25519_key(receiver: Receiving) -> None:
    key = Ed25519PrivateKey.generate()
    public = "whpk_" + base64.b64encode(key.public_key().public_bytes_raw()).decode()
    private = "whsk_" + base64.b64encode(key.private_bytes_raw()).decode()
    await receiver.write(source(secrets=(public,)))
    body, at = json.dumps(full()).encode(), int(receiver.now)
    made = sign("msg_1", at, body, private)
    assert made.startswith("v1a,")
    assert await receiver.status(body + b" ", message_id="msg_1", webhook_signature=made) == NOT_AUTHENTIC
    assert await receiver.status(body, message_id="msg_1", webhook_signature=made) == (202, "applied")
    assert await receiver.status(full(2)) == NOT_AUTHENTIC


async def test_each_secret_speaks_for_its_own_source(receiver: Receiving) -> None:
    await receiver.write(source("others", secrets=(OTHER_SECRET,)))
    assert await receiver.status(full(), secret=OTHER_SECRET) == (202, "applied")
    assert await receiver.inventory(SUBJECT, "agents") is None
    assert await receiver.inventory(SUBJECT, "others") is not None
    # The name of a source is a hint and proves nothing.
    assert await receiver.status(full(2), gatepost_source="others") == NOT_AUTHENTIC
    assert await receiver.status(full(2), gatepost_source="nobody") == NOT_AUTHENTIC
    assert await receiver.status(full(2), gatepost_source="agents") == (202, "applied")


async def test_only_push_sources_push(receiver: Receiving) -> None:
    await receiver.write(replace(source(), kind="intune"))
    assert await receiver.status(full()) == NOT_AUTHENTIC


async def test_a_removed_source_is_not_known_any_more(receiver: Receiving) -> None:
    await receiver.write(source(removed_at=NOW))
    assert await receiver.status(full()) == NOT_AUTHENTIC
    assert await receiver.inventory() is None


async def test_a_source_whose_secret_is_damaged_harms_no_other(receiver: Receiving) -> None:
    await receiver.write(source("a", secrets=("whsec_damaged",)), source("b", secrets=()))
    assert await receiver.status(full()) == (202, "applied")


async def test_nothing_is_read_before_the_signature_fits(receiver: Receiving) -> None:
    """Whoever has no secret learns nothing about what the receiver makes of a body."""
    for body in (b"", b"{", b"\xff", b"\x1f\x8b", json.dumps({"specversion": "2.0"}).encode()):
        assert await receiver.status(body, secret=OTHER_SECRET) == NOT_AUTHENTIC
        assert await receiver.status(body, secret=OTHER_SECRET, content_encoding="gzip") == NOT_AUTHENTIC
    assert await receiver.status(delta(2, 1), secret=OTHER_SECRET) == NOT_AUTHENTIC


async def test_the_operator_is_told_why_a_sender_is_turned_away(receiver: Receiving) -> None:
    with capture_logs() as logged:
        await receiver.post(full(), secret=OTHER_SECRET, gatepost_source="agents")
        await receiver.post(full(), timestamp=int(NOW) - 3600)
        await receiver.post(full(), webhook_id="")
        await receiver.post(b"{}")
    told = [(each["event"], each.get("claimed", each.get("source")), each["reason"]) for each in logged]
    assert [(event, who) for event, who, _ in told] == [
        ("report_not_authentic", "agents"),
        ("report_not_authentic", ""),
        ("report_not_authentic", ""),
        ("report_unreadable", "agents"),
    ]
    words = ("no source's secret fits", "from this machine's clock", "webhook-id is missing", "specversion")
    assert [word for word, (_, _, reason) in zip(words, told, strict=True) if word not in reason] == []
