"""What is read in a client's certificate, what a list revokes, and whom an authority vouches for."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID, ObjectIdentifier

from gateway.network.client_certificate import Issuers, Revoked, authority_of, id_of, peer_certificate
from gateway.network.tls import TlsUnusable
from tests.network.authority import Authority, Issued

UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""SEC 2 §2.4.2."""


def authority_key(authority: Authority) -> ec.EllipticCurvePublicKey:
    """By which it signs."""
    key = x509.load_pem_x509_certificate(authority.certificate.read_bytes()).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def der_of(issued: Issued) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issued.certificate.read_text())


def utf8(text: str) -> bytes:
    octets = text.encode()
    return b"\x0c" + (bytes([len(octets)]) if len(octets) < 0x80 else bytes([0x81, len(octets)])) + octets


def test_every_field(authority: Authority) -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Anna's phone"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "F9FXJ0"),
            x509.NameAttribute(NameOID.COMMON_NAME, "second"),
        ]
    )
    further = [
        x509.RFC822Name("anna@corp.example"),
        x509.OtherName(UPN, utf8("ann@corp.example")),
        x509.OtherName(UPN, utf8("a" * 140 + "@corp.example")),
        x509.OtherName(ObjectIdentifier("1.2.3"), utf8("no upn")),
        x509.OtherName(UPN, b"\x16\x02hi"),
        x509.DNSName("phone.corp.example"),
        x509.UniformResourceIdentifier("IntuneDeviceId://0b1c"),
    ]
    issued = authority.issue(client=True, subject=subject, further=further)
    found = peer_certificate(der_of(issued))
    assert found is not None
    assert found.common_names == ("Anna's phone", "second")
    assert found.subject_serials == ("F9FXJ0",)
    assert found.emails == ("anna@corp.example",)
    assert found.upns == ("ann@corp.example", "a" * 140 + "@corp.example")
    assert (found.dns_names, found.uris) == (("phone.corp.example",), ("IntuneDeviceId://0b1c",))
    loaded = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    assert found.ends_at == loaded.not_valid_after_utc.timestamp()
    assert found.id == id_of(authority_of(loaded.issuer), loaded.serial_number)
    assert f"{loaded.serial_number:x}" in found.id


@pytest.mark.parametrize("octets", [b"", b"\x30\x03\x02\x01\x00", b"\x30" * 20_000, b"-----BEGIN CERTIFICATE-----"])
def test_what_is_none(octets: bytes) -> None:
    assert peer_certificate(octets) is None


def test_a_broken_one_is_read_or_is_none_and_nobody_vouches_for_it(authority: Authority) -> None:
    """What an asker hands on may be anything that its client has sent."""
    further = [x509.RFC822Name("a@b.example"), x509.OtherName(UPN, utf8("a@b.example")), x509.DNSName("b.example")]
    whole = der_of(authority.issue(client=True, further=further))
    issuers, now = Issuers(str(authority.certificate)), datetime.now(UTC).timestamp()
    for place in range(len(whole)):
        for change in (0x01, 0x20, 0x80, 0xFF):
            broken = bytearray(whole)
            broken[place] ^= change
            peer_certificate(bytes(broken))
            assert issuers.vouched(bytes(broken), now) is None
        peer_certificate(whole[:place])
        assert issuers.vouched(whole[:place], now) is None


def test_a_list_revokes_by_number_and_authority(authority: Authority, tmp_path: Path) -> None:
    kept, lost = authority.issue(client=True), authority.issue(client=True)
    other = Authority(tmp_path, "two")
    lists = tmp_path / "lists.pem"
    lists.write_bytes(authority.revoke(lost).read_bytes() + other.revoke().read_bytes())
    revoked = Revoked(str(lists))
    assert [peer_certificate(der_of(each)).id in revoked.ids for each in (kept, lost)] == [False, True]  # type: ignore[union-attr]
    lists.write_bytes(authority.revoke(lost, kept).read_bytes())
    revoked.reload()
    assert len(revoked.ids) == 2
    lists.write_bytes(b"nothing")
    with pytest.raises(TlsUnusable, match=r"\[tls\] client_crl .* cannot be used \(no PEM list"):
        revoked.reload()
    assert len(revoked.ids) == 2
    lists.unlink()
    with pytest.raises(TlsUnusable, match="No such file"):
        Revoked(str(lists))
    assert Revoked("").ids == frozenset()


def test_a_list_whose_authority_spells_its_name_otherwise(authority: Authority, tmp_path: Path) -> None:
    """OpenSSL takes both for one name, so a handshake is refused; who is connected has to be found as well."""
    lost = authority.issue(client=True)
    text = authority.revoke(lost).read_bytes()
    whole = x509.load_pem_x509_crl(text)
    for name, same in (("AUTHORITY  One", True), (" authority one ", True), ("authority two", False)):
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        assert (authority_of(issuer) == authority_of(whole.issuer)) is same
        builder = x509.CertificateRevocationListBuilder(issuer, whole.last_update_utc, whole.next_update_utc)
        (one,) = whole
        entry = x509.RevokedCertificateBuilder(one.serial_number, one.revocation_date_utc).build()
        builder = builder.add_revoked_certificate(entry)
        lists = tmp_path / "spelled.pem"
        lists.write_bytes(builder.sign(authority._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        shown = peer_certificate(der_of(lost))
        assert shown is not None
        assert (shown.id in Revoked(str(lists)).ids) is same


def test_two_names_are_two() -> None:
    unit, common = NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME
    names = [
        x509.Name([x509.NameAttribute(unit, "a"), x509.NameAttribute(common, "b")]),
        x509.Name([x509.NameAttribute(common, "b"), x509.NameAttribute(unit, "a")]),
        x509.Name([x509.RelativeDistinguishedName([x509.NameAttribute(unit, "a"), x509.NameAttribute(common, "b")])]),
        x509.Name([x509.NameAttribute(unit, "b"), x509.NameAttribute(common, "a")]),
    ]
    assert len({authority_of(name) for name in names}) == len(names)


def test_the_other_spelling_of_an_ecdsa_signature_is_good_and_only_the_fingerprint_differs(
    authority: Authority,
) -> None:
    """Whoever has a certificate can write (r, n - s) for (r, s), so a fingerprint is what its holder makes of it."""
    certificate = x509.load_der_x509_certificate(der_of(authority.issue(client=True)))
    key = authority_key(authority)
    order = {"secp256r1": P256_ORDER}[key.curve.name]
    r, s = decode_dss_signature(certificate.signature)
    signature = b"\0" + encode_dss_signature(r, order - s)
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    body = certificate.tbs_certificate_bytes + algorithm + bytes((3, len(signature))) + signature
    other = b"\x30\x82" + len(body).to_bytes(2) + body
    issuers, now = Issuers(str(authority.certificate)), datetime.now(UTC).timestamp()
    one, two = issuers.vouched(certificate.public_bytes(serialization.Encoding.DER), now), issuers.vouched(other, now)
    assert one is not None
    assert two is not None
    assert two == replace(one, digest=two.digest)
    assert two.digest != one.digest


def test_an_authority_vouches_for_what_it_has_issued_for_clients(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "two")
    issuers, now = Issuers(str(authority.certificate)), datetime.now(UTC)
    good = der_of(authority.issue(client=True))
    assert issuers.vouched(good, now.timestamp()) == peer_certificate(good)
    # Looked at once, and no longer than it lasts, nor than the authority is one of ours.
    assert issuers.vouched(good, now.timestamp()) is issuers.vouched(good, now.timestamp())
    for bad in (
        authority.issue(client=True, ends=now - timedelta(hours=1)),
        authority.issue(),
        other.issue(client=True),
    ):
        assert issuers.vouched(der_of(bad), now.timestamp()) is None
    assert issuers.vouched(good, (now + timedelta(days=2)).timestamp()) is None
    assert issuers.vouched(b"\x30", now.timestamp()) is None
    assert issuers.vouched(ssl.PEM_cert_to_DER_cert(authority.certificate.read_text()), now.timestamp()) is None
    forged = bytearray(good)
    forged[-1] ^= 1
    assert issuers.vouched(bytes(forged), now.timestamp()) is None
    authority.certificate.write_bytes(other.certificate.read_bytes())
    issuers.reload()
    assert issuers.vouched(good, now.timestamp()) is None
    with pytest.raises(TlsUnusable, match="holds no PEM certificates of authorities"):
        Issuers(str(tmp_path / "missing"))
