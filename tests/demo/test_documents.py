"""What the demo's ends write is WBXML as the gateway reads it, and can ask for no wipe."""

import pytest

from gateway.demo.documents import PAGES, every, tag, text, written
from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.wbxml import decode
from tests.support.phone_wbxml import decoded


def test_a_document_comes_back_as_it_was_written() -> None:
    mail = tag("AirSync:Add", tag("Email:Subject", "Grüße"), tag("AirSyncBase:Body", tag("AirSyncBase:Data", "a")))
    root = decode(written(tag("AirSync:Sync", tag("AirSync:SyncKey", "1"), mail, mail, tag("AirSync:MoreAvailable"))))
    assert (root.page_name, root.name) == ("AirSync", "Sync")
    assert [child.name for child in root.children] == ["SyncKey", "Add", "Add", "MoreAvailable"]
    assert [each.characters() for each in every(root, "Email:Subject")] == ["Grüße", "Grüße"]
    assert text(root, "AirSyncBase:Data") == "a"
    assert text(root, "AirSync:Status") == ""


def test_another_reader_reads_the_same() -> None:
    folder = tag("Ping:Folder", tag("Ping:Id", "inbox"))
    read = decoded(written(tag("Ping:Ping", tag("Ping:HeartbeatInterval", "60"), tag("Ping:Folders", folder))))
    assert str(read) == (
        "<Ping:Ping><Ping:HeartbeatInterval>60</Ping:HeartbeatInterval>"
        "<Ping:Folders><Ping:Folder><Ping:Id>inbox</Ping:Id></Ping:Folder></Ping:Folders></Ping:Ping>"
    )


def test_a_string_cannot_end_before_its_end() -> None:
    root = decode(written(tag("Email:Subject", "a\0\x01b")))
    assert root.characters() == "a\x01b"


@pytest.mark.parametrize("name", ["Provision:RemoteWipe", "Provision:Provision", "Email:NoSuchTag", "Sync", ""])
def test_what_the_demo_does_not_need_it_cannot_write(name: str) -> None:
    assert "Provision" not in PAGES
    with pytest.raises(InvalidValue):
        tag(name)
