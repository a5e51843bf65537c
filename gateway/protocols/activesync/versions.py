"""Protocol versions and the two dialects of refusal.

From 14.0 on a refusal is a Status inside an HTTP 200; before, it is the HTTP status line ([MS-ASCMD] 2.2.2). The
dialect is chosen per request, from the version of that very request; without a version the HTTP dialect is used.
"""

from enum import Enum, IntEnum

from gateway.domain.errors import InvalidValue


class Version(IntEnum):
    """A protocol version, times ten: the byte of the base64 query ([MS-ASHTTP] 2.2.1.1.1.1.1)."""

    V2_5 = 25
    V12_0 = 120
    V12_1 = 121
    V14_0 = 140
    V14_1 = 141
    V16_0 = 160
    V16_1 = 161


class Dialect(Enum):
    """How this request is refused."""

    HTTP = "http"
    STATUS = "status"


_BY_HEADER = {b"%d.%d" % divmod(version, 10): version for version in Version}
_BASE64_VERSIONS = frozenset(Version) - {Version.V2_5, Version.V12_0}
HEADER_VALUES: dict[bytes, Version] = _BY_HEADER
"""Spelling in ``MS-ASProtocolVersion`` and ``MS-ASProtocolVersions``."""


def dialect(version: Version | None) -> Dialect:
    """The dialect of a request with that version; None: it names none."""
    return Dialect.STATUS if version is not None and version >= Version.V14_0 else Dialect.HTTP


def version_from_header(value: bytes) -> Version:
    """The version that ``MS-ASProtocolVersion`` names. Raises ``InvalidValue`` for any but 2.5 to 16.1."""
    version = _BY_HEADER.get(value)
    if version is None:
        raise InvalidValue("MS-ASProtocolVersion names no version from 2.5 to 16.1")
    return version


def version_from_byte(value: int) -> Version:
    """The version that a base64 query's first byte names; 2.5 and 12.0 have no such query. Raises ``InvalidValue``."""
    if value not in _BASE64_VERSIONS:
        raise InvalidValue("the base64 query names no version from 12.1 to 16.1")
    return Version(value)


def agreed_version(header: bytes | None, from_query: Version | None) -> Version | None:
    """The version of a request; None when it names none.

    Raises ``InvalidValue`` when header and base64 query name different ones: a back end may believe either.
    """
    if header is None:
        return from_query
    version = _BY_HEADER.get(header) or version_from_header(header)
    if from_query is not None and from_query is not version:
        raise InvalidValue("MS-ASProtocolVersion and the version in the base64 query differ")
    return version
