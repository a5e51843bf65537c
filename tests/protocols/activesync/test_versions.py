"""Versions and the choice of dialect."""

import pytest

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.versions import (
    Dialect,
    Version,
    agreed_version,
    dialect,
    version_from_byte,
    version_from_header,
)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (None, Dialect.HTTP),
        (Version.V2_5, Dialect.HTTP),
        (Version.V12_1, Dialect.HTTP),
        (Version.V14_0, Dialect.STATUS),
        (Version.V16_1, Dialect.STATUS),
    ],
)
def test_the_dialect_turns_at_14_0(version: Version | None, expected: Dialect) -> None:
    assert dialect(version) is expected


@pytest.mark.parametrize(("header", "version"), [(b"2.5", 25), (b"12.0", 120), (b"14.1", 141), (b"16.1", 161)])
def test_header_values(header: bytes, version: int) -> None:
    assert version_from_header(header) == version


@pytest.mark.parametrize("header", [b"", b"1.0", b"2.0", b"14", b"14.10", b" 14.1", b"14.1,16.0", b"17.0", b"\xb2.5"])
def test_other_header_values_are_refused(header: bytes) -> None:
    with pytest.raises(InvalidValue):
        version_from_header(header)


def test_only_five_versions_have_a_base64_query() -> None:
    usable = []
    for octet in range(256):
        try:
            usable.append(version_from_byte(octet))
        except InvalidValue:
            continue
    assert usable == [121, 140, 141, 160, 161]


def test_header_and_query_must_agree() -> None:
    assert agreed_version(None, None) is None
    assert agreed_version(None, Version.V14_1) is Version.V14_1
    assert agreed_version(b"14.1", None) is Version.V14_1
    assert agreed_version(b"14.1", Version.V14_1) is Version.V14_1
    with pytest.raises(InvalidValue):
        agreed_version(b"12.1", Version.V14_1)
    with pytest.raises(InvalidValue):
        agreed_version(b"17.0", Version.V14_1)
