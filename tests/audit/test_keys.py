"""The key of the audit log: made once, private, and what it signs and seals."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.audit.keys import Seals, audit_key, find_key, find_or_make_key, verifies, write_public
from gateway.domain.audit.chain import GrowingLog, head_before
from gateway.domain.audit.checkpoint import checkpoint_of, read_note, read_notes, verifier_key
from gateway.domain.errors import DomainError, InvalidValue


def test_it_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    assert find_key(tmp_path) is None
    made, fresh = find_or_make_key(tmp_path)
    again, made_again = find_or_make_key(tmp_path)
    assert (fresh, made_again) == (True, False)
    assert made.public == again.public
    assert stat.S_IMODE((tmp_path / "audit-key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["audit-key"]
    seed = made.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()).hex()
    assert seed not in repr(made)
    assert made.seal_key.hex() not in repr(made)


def test_the_public_half_stands_beside_it(tmp_path: Path) -> None:
    key, _ = find_or_make_key(tmp_path)
    for origin in ("gatepost/one", "gatepost/other", "gatepost/other"):
        write_public(tmp_path, key.verifier(origin))
        found = verifier_key((tmp_path / "audit-key.pub").read_text())
        assert (found.name, found.public) == (origin, key.public)


@pytest.mark.parametrize("content", [b"", b"no key", b"x" * 10_000])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "audit-key").write_bytes(content)
    with pytest.raises(DomainError, match="is no key of an audit log"):
        find_key(tmp_path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "audit-key").write_bytes(pem)
    with pytest.raises(DomainError, match="put the right one back"):
        find_key(tmp_path)


def test_a_note_is_signed_over_its_text() -> None:
    key = audit_key(Ed25519PrivateKey.generate())
    log = GrowingLog(head_before("gatepost/x"))
    log.add(b"entry")
    checkpoint = checkpoint_of(log.head())
    note = key.note(checkpoint)
    found = read_note(note)
    assert (found.origin, found.size, found.root) == ("gatepost/x", 1, log.root)
    (signature,) = found.signatures
    assert signature.key_id == key.verifier("gatepost/x").id
    assert verifies(key.public, found.text.encode(), signature.signature)
    assert not verifies(key.public, found.text.encode() + b"x", signature.signature)
    assert not verifies(b"short", found.text.encode(), signature.signature)
    assert [each.size for each in read_notes(f"\n{note}\n\n{note}")] == [1, 1]


def test_the_note_of_the_formats_own_page() -> None:
    """C2SP signed-note, its example: a tool that others wrote signed it."""
    key = verifier_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    import base64

    octets = base64.b64decode(signature)
    assert octets[:4] == key.id
    assert verifies(key.public, text.encode(), octets[4:])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gatepost/x\n1\nAAAA\n",
        "gatepost/x\n01\n" + "A" * 43 + "=\n\n— x AAAAAAAA\n",
        "gatepost/x\n1\n" + "A" * 43 + "=\nmore\n\n— x AAAAAAAA\n",
        "gatepost/x\n1\n" + "A" * 43 + "=\n\nno signature\n",
        "gatepost/x\n1\n" + "A" * 43 + "=\n\n— x !!\n",
        "x" * 9_000,
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        read_note(text)
    with pytest.raises(InvalidValue):
        read_notes(text)


@pytest.mark.parametrize("text", ["", "x", "x+y", "gatepost/x+00000000+AQ==", "x+zz+!!"])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is no key of an audit log"):
        verifier_key(text)


def test_checkpoints_are_read_from_the_gateways_log() -> None:
    import json

    key = audit_key(Ed25519PrivateKey.generate())
    log = GrowingLog(head_before("gatepost/x"))
    notes = []
    for number in range(3):
        log.add(b"%d" % number)
        notes.append(key.note(checkpoint_of(log.head())))
    lines = ['{"event": "ready"}', *(json.dumps({"event": "audit_checkpoint", "note": note}) for note in notes), "{cut"]
    assert [each.size for each in read_notes("\n".join(lines))] == [1, 2, 3]
    with pytest.raises(InvalidValue, match="there is no checkpoint in it"):
        read_notes('{"event": "ready"}\n')


def test_seals_tell_whose_they_are() -> None:
    own, other = audit_key(Ed25519PrivateKey.generate()), audit_key(Ed25519PrivateKey.generate())
    alone, together = Seals(own), Seals(own, [other.public])
    assert alone(b"chain", own.seal(b"chain")) is True
    assert alone(b"chain", own.seal(b"another")) is False
    assert alone(b"chain", b"") is False
    assert alone(b"chain", other.seal(b"chain")) is False
    assert together(b"chain", other.seal(b"chain")) is None
    assert together(b"chain", other.seal(b"chain")[:8]) is False
