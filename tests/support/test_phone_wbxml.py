"""The test phone's WBXML against decoders that are neither its own nor the gateway's."""

import pytest

from tests.support.phone import Account, Phone
from tests.support.phone_commands import device_information, ping_body, sync_body
from tests.support.phone_wbxml import HEADER, NAMES, Tag, decoded, encoded, tag
from tests.support.wbxml_peers import client_xml, libwbxml_xml, needs_libwbxml

SYNC = sync_body(Phone(Account("", "anna", "PHONE1", "14.1")), "5", "1")
SETTINGS = tag("Settings:Settings", device_information())
PING = ping_body("5", 600)
DOCUMENTS = pytest.mark.parametrize("document", [SYNC, SETTINGS, PING], ids=["Sync", "Settings", "Ping"])


def names(element: Tag) -> list[str]:
    """Every name in a document, in order."""
    inside = [name for child in element.content if isinstance(child, Tag) for name in names(child)]
    return [element.name, *inside]


@DOCUMENTS
def test_another_client_reads_it(document: Tag) -> None:
    assert client_xml(encoded(document)) == str(document).replace(":", ".")


@needs_libwbxml
@DOCUMENTS
def test_libwbxml_reads_it(document: Tag) -> None:
    read = libwbxml_xml(encoded(document))
    at = 0
    for name in names(document):
        at = read.index(f"<{name.partition(':')[2]}", at) + 1


@DOCUMENTS
def test_what_is_written_is_read(document: Tag) -> None:
    assert str(decoded(encoded(document))) == str(document)


def test_octets_of_every_length_are_opaque() -> None:
    for length in (0, 1, 127, 128, 16_383, 16_384, 2**21):
        octets = bytes(range(256)) * (length // 256 + 1)
        (read,) = decoded(encoded(tag("ComposeMail:SendMail", tag("ComposeMail:Mime", octets[:length])))).content
        assert isinstance(read, Tag)
        assert read.octets == octets[:length]


def test_a_tag_that_is_unknown_is_kept() -> None:
    assert str(decoded(HEADER + b"\x00\x05\x45\x03a\x00\x01")) == "<5:05>a</5:05>"
    assert (5, 5) not in NAMES


@pytest.mark.parametrize("octets", [b"", b"\x45", b"\x45\x03a", b"\x45\xc3\x05a\x01", b"\x05\x05"])
def test_what_is_no_document_is_an_error(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut short|past the end|not one document|not found"):
        decoded(HEADER + octets)
