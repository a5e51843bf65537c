"""The code pages against another implementation's, and the tags on which safety hangs."""

import pytest
from pyactivesync._codepages import CODEPAGES, PAGE_INDEX

from gateway.protocols.activesync.code_pages import LEGACY, PAGE_NAMES, TAG_NAMES, TAGS

OTHER_NAMES = {"ItemEstimate": "GetItemEstimate"}


@pytest.mark.parametrize("page", sorted(PAGE_INDEX))
def test_another_implementation_has_the_same_tags(page: str) -> None:
    name = OTHER_NAMES.get(page, page)
    assert PAGE_NAMES[PAGE_INDEX[page]] == name
    theirs = {(PAGE_INDEX[page], token & 0x3F): tag for tag, token in CODEPAGES[page].items()}
    if page == "Find":  # MaxPictures, MaxSize and Picture are 0x20 to 0x22 in [MS-ASWBXML] 2.1.2.1.26
        theirs = {key: tag for key, tag in theirs.items() if key[1] < 0x1A}
    assert {key: TAG_NAMES[key].lower() for key in theirs} == {key: tag.lower() for key, tag in theirs.items()}


def test_the_tables_are_whole() -> None:
    assert len(PAGE_NAMES) == 26
    assert len(TAG_NAMES) == len(TAGS) == 644
    assert len(TAG_NAMES) - len(LEGACY) == 586
    assert all(0x05 <= tag <= 0x3F for _, tag in TAG_NAMES)


def test_the_tags_on_which_safety_hangs() -> None:
    assert TAGS["Provision", "RemoteWipe"] == (14, 0x0C)
    assert TAGS["Provision", "AccountOnlyRemoteWipe"] == (14, 0x3B)
    assert TAGS["Provision", "Status"] == (14, 0x0B)
    assert TAGS["Find", "Picture"] == (25, 0x22)
