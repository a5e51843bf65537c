"""The decoder: what ActiveSync writes is read, anything else is refused within bounds."""

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.activesync.code_pages import TAGS
from gateway.protocols.activesync.wbxml import (
    DEFAULT_LIMITS,
    Element,
    Limits,
    TruncatedError,
    WbxmlError,
    body_start,
    decode,
    mb_uint,
)
from tests.support.documents import Written, wbxml
from tests.support.wbxml_peers import client_xml, libwbxml_xml, needs_libwbxml

FOLDER_SYNC: Written = ("FolderHierarchy", "FolderSync", ("FolderHierarchy", "SyncKey", "0"))
PROVISION: Written = (
    *("Provision", "Provision"),
    ("Settings", "DeviceInformation", ("Settings", "Set", ("Settings", "Model", "Pixel 8"), ("Settings", "OS", "ä"))),
    ("Provision", "Policies", ("Provision", "Policy", ("Provision", "PolicyType", "MS-EAS-Provisioning-WBXML"))),
)
EMPTY_PROVISION: Written = ("Provision", "Provision")
MIME: Written = ("ComposeMail", "SendMail", ("ComposeMail", "Mime", b"From: a\r\n\x00\x01" * 30))


def written(element: Element) -> Written:
    """The nested tuples that ``element`` was written from."""
    content: list[object] = [written(child) for child in element.children]
    if element.text is not None:
        content.append(element.text)
    if element.opaque is not None:
        content.append(element.opaque)
    return (element.page_name, element.name, *content)


@pytest.mark.parametrize("document", [FOLDER_SYNC, PROVISION, EMPTY_PROVISION, MIME])
def test_documents_are_read(document: Written) -> None:
    assert written(decode(wbxml(document))) == document


@needs_libwbxml
@pytest.mark.live
def test_another_decoder_reads_the_tests_documents_alike() -> None:
    assert libwbxml_xml(wbxml(FOLDER_SYNC)) == (
        '<FolderSync xmlns="FolderHierarchy:"><SyncKey>0</SyncKey></FolderSync>'
    )
    assert client_xml(wbxml(FOLDER_SYNC)) == (
        "<FolderHierarchy.FolderSync><FolderHierarchy.SyncKey>0</FolderHierarchy.SyncKey></FolderHierarchy.FolderSync>"
    )


BODY = wbxml(FOLDER_SYNC)[4:]


@pytest.mark.parametrize(
    "header",
    [
        b"\x03\x01\x6a\x00",
        b"\x02\x01\x6a\x00",
        b"\x01\x01\x6a\x00",
        b"\x03\x01\x03\x00",
        b"\x03\x01\x00\x00",
        b"\x03\x00\x00\x6a\x05-//X\x00",
        b"\x03\x00\x81\x00\x6a\x03abc",
        b"\x03\x81\x01\x6a\x00",
    ],
)
def test_headers_of_other_encoders(header: bytes) -> None:
    assert written(decode(header + BODY)) == FOLDER_SYNC


@pytest.mark.parametrize(
    "document",
    [
        b"\x00" + BODY,
        b"\x04\x01\x6a\x00" + BODY,
        b"\x03\x01\x04\x00" + BODY,
        b"\x03\x01\x83\x74\x00" + BODY,
        b"\x03\x01\x6a\x88\x01" + b"x" * 1025 + BODY,
        b"\x03\x01\x6a\xff\xff\xff\xff\x7f" + BODY,
        b"\x03\x01\x6a\x80\x80\x80\x80\x80\x00" + BODY,
        b"\x03\x01\x6a\x00\x01",
        b"\x03\x01\x6a\x00\x03a\x00",
        b"\x03\x01\x6a\x00\x45\x01\x45\x01",
        b"\x03\x01\x6a\x00\x05\x05",
        b"\x03\x01\x6a\x00\x45\x01\x01",
        b"\x03\x01\x6a\x00\x45\x01\x03a\x00",
        b"\x03\x01\x6a\x00\xc5\x01\x01",
        b"\x03\x01\x6a\x00\x85",
        b"\x03\x01\x6a\x00\x45\x02\x81\x00\x01",
        b"\x03\x80\x00\x00\x6a\x00\x45\x01",
        b"\x03\x80\x01\x6a\x00\x45\x01",
        b"\x03\x00\x80\x00\x6a\x00\x45\x01",
        b"\x03\x01\x80\x6a\x00\x45\x01",
        b"\x03\x01\x6a\x80\x00\x45\x01",
        b"\x03\x01\x6a\x00\x45\x83\x00\x01",
        b"\x03\x01\x6a\x00\x45\x04\x00\x01",
        b"\x03\x01\x6a\x00\x45\x43\x00\x01",
        b"\x03\x01\x6a\x00\x45\x40a\x00\x01",
        b"\x03\x01\x6a\x00\x45\xc0\x01",
        b"\x03\x01\x6a\x00\x45\x03\xff\x00\x01",
        b"\x03\x01\x6a\x00\x45\x03a\x00\x05\x01",
        b"\x03\x01\x6a\x00\x45\x03a\x00\xc3\x01b\x01",
        b"\x03\x01\x6a\x00\x45\xc3\x01b\xc3\x01b\x01",
    ],
)
def test_what_activesync_does_not_use_is_refused(document: bytes) -> None:
    with pytest.raises(WbxmlError):
        decode(document)


def test_every_truncation_is_noticed() -> None:
    document = wbxml(PROVISION)
    for length in range(len(document)):
        with pytest.raises(TruncatedError):
            decode(document[:length])


def test_odd_but_legal_spellings() -> None:
    switched = b"\x03\x01\x6a\x00\x00\x01\x00\x07\x00\x07\x56\x00\x07\x52\x030\x00\x00\x02\x01\x00\x03\x01\x00\x00"
    assert written(decode(switched)) == FOLDER_SYNC
    pieces = b"\x03\x01\x6a\x00\x00\x07\x56\x52\x03Za\x00\x03\xc3\xa4\x00\x03\x00\x01\x01"
    assert decode(pieces).children[0].text == "Zaä"
    assert decode(b"\x03\x01\x6a\x00\x00\x07\x56\x52\xc3\x010\x01\x01").children[0].characters() == "0"
    assert decode(b"\x03\x01\x6a\x00\x00\x07\x56\x52\xc3\x02\xff0\x01\x01").children[0].characters() == "\ufffd0"


def test_tags_that_no_table_has() -> None:
    root = decode(b"\x03\x01\x6a\x00\x00\xfe\x45\x3f\x01")
    assert (root.page_name, root.name, root.children[0].tag) == ("", "", 0x3F)


def test_a_child_by_its_tag() -> None:
    root = decode(wbxml(PROVISION))
    assert root.child(*TAGS["Settings", "DeviceInformation"]) is root.children[0]
    assert root.child(*TAGS["Provision", "RemoteWipe"]) is None


@pytest.mark.parametrize(
    ("octets", "value", "length"),
    [(b"\x00", 0, 1), (b"\x7f", 127, 1), (b"\x81\x00", 128, 2), (b"\x8f\xff\xff\xff\x7f", 0xFFFFFFFF, 5)],
)
def test_numbers(octets: bytes, value: int, length: int) -> None:
    assert mb_uint(octets, 0) == (value, length)


# --- bounds ----------------------------------------------------------------------------------------------------------

SMALL = Limits(body_bytes=200, depth=3, elements=5, string_bytes=10)
HEADER = b"\x03\x01\x6a\x00"


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        (HEADER + b"\x45" * 3 + b"\x01" * 3, HEADER + b"\x45" * 4 + b"\x01" * 4),
        (HEADER + b"\x45" + b"\x05" * 4 + b"\x01", HEADER + b"\x45" + b"\x05" * 5 + b"\x01"),
        (HEADER + b"\x45\x03" + b"a" * 10 + b"\x00\x01", HEADER + b"\x45\x03" + b"a" * 11 + b"\x00\x01"),
        (HEADER + b"\x45\x03aaaaa\x00" * 1 + b"\x03aaaaa\x00\x01", HEADER + b"\x45\x03aaaaa\x00\x03aaaaaa\x00\x01"),
        (HEADER + b"\x45\xc3\x0a" + b"a" * 10 + b"\x01", HEADER + b"\x45\xc3\x0b" + b"a" * 11 + b"\x01"),
        (HEADER + b"\x00\x00" * 97 + b"\x05", HEADER + b"\x00\x00" * 98 + b"\x05"),
    ],
)
def test_each_size_has_a_bound(within: bytes, beyond: bytes) -> None:
    decode(within, SMALL)
    with pytest.raises(WbxmlError):
        decode(beyond, SMALL)


def test_a_length_is_no_allocation() -> None:
    with pytest.raises(WbxmlError):
        decode(HEADER + b"\x45\xc3\x8f\xff\xff\xff\x7fx")


@pytest.mark.parametrize(
    "pattern",
    [
        *(b"\x45", b"\x05", b"\x45\x01", b"\x00\x07", b"\x03\x00", b"\x03a\x00", b"\x03", b"\xc3\x00", b"\x01"),
        *(b"\xff", b"\x45\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x00\x01", b"\xc3\xff\xff\xff\xff\x7f"),
    ],
)
def test_a_mebibyte_of_anything_costs_little(pattern: bytes) -> None:
    document = (HEADER + b"\x45" + pattern * (1 << 20))[: DEFAULT_LIMITS.body_bytes]
    began = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(WbxmlError):
            decode(document)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 10, "tracing included, a hundred times the usual"
    assert peak < 64 << 20


def test_a_document_beyond_the_bound_is_not_looked_at() -> None:
    with pytest.raises(WbxmlError, match="too large"):
        decode(b"\x03" * (DEFAULT_LIMITS.body_bytes + 1))


# --- properties ------------------------------------------------------------------------------------------------------

tokens = st.sampled_from(
    [
        *(b"\x00\x00", b"\x00\x07", b"\x00\x0e", b"\x01", b"\x45", b"\x56", b"\x05", b"\x4b", b"\x03a\x00", b"\x03"),
        *(b"\xc3\x01a", b"\xc3", b"\x85", b"\x02", b"\x43", b"\x03\xff\x00", b"\x80"),
    ]
)


@given(st.binary(max_size=200) | st.lists(tokens, max_size=40).map(lambda some: HEADER + b"".join(some)))
def test_garbage_raises_its_own_error_only(document: bytes) -> None:
    try:
        root = decode(document)
    except WbxmlError:
        return
    assert isinstance(root, Element)


names = st.sampled_from(sorted(TAGS))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
elements = st.recursive(
    st.builds(lambda name, text: (*name, text), names, texts | st.binary(max_size=200))
    | names.map(lambda name: (*name,)),
    lambda inner: st.builds(lambda name, some: (*name, *some), names, st.lists(inner, min_size=1, max_size=4)),
    max_leaves=20,
)


@given(elements)
def test_whatever_is_written_is_read(document: Written) -> None:
    assert written(decode(wbxml(document))) == document


@given(elements, st.data())
def test_a_changed_octet_is_read_or_refused(document: Written, data: st.DataObject) -> None:
    body = bytearray(wbxml(document))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(body))
    except WbxmlError:
        return


@given(st.binary(max_size=20))
def test_a_header_is_read_or_refused(octets: bytes) -> None:
    try:
        at = body_start(octets)
    except WbxmlError:
        return
    assert at >= 4
