"""What a phone says about itself, from whichever command carries it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.activesync.device_information import BODY_LONGEST, FIELDS, VALUE_LONGEST, read
from tests.support.documents import Written, wbxml


def information(*fields: Written) -> Written:
    return ("Settings", "DeviceInformation", ("Settings", "Set", *fields))


def setting(name: str, value: str | bytes) -> Written:
    return ("Settings", name, value)


POLICIES: Written = ("Provision", "Policies", ("Provision", "Policy", ("Provision", "PolicyType", "x")))
SAID = (
    setting("Model", "iPhone15C2"),
    setting("OS", "iOS 19.1 23B71"),
    setting("UserAgent", "Apple-iPhone15C2/2302.71"),
)
READ = {"Model": "iPhone15C2", "OS": "iOS 19.1 23B71", "UserAgent": "Apple-iPhone15C2/2302.71"}


@pytest.mark.parametrize(
    "document",
    [
        ("Settings", "Settings", information(*SAID)),
        ("Provision", "Provision", information(*SAID), POLICIES),
        ("Provision", "Provision", POLICIES, information(*SAID)),
        ("Settings", "Settings", ("Settings", "Oof", ("Settings", "Get")), information(*SAID)),
        ("Settings", "Settings", information(*SAID, setting("Model", "another"), ("Email", "Subject", "x"))),
        ("Settings", "Settings", information(*SAID, setting("IMEI", ""), ("Settings", "PhoneNumber"))),
        ("Settings", "Settings", information(*((page, tag, text.encode()) for page, tag, text in SAID))),
    ],
)
def test_both_carriers(document: Written) -> None:
    assert read(wbxml(document)) == READ


def test_every_field() -> None:
    document = ("Settings", "Settings", information(*(setting(name, f"<{name}>") for name in FIELDS)))
    assert read(wbxml(document)) == {name: f"<{name}>" for name in FIELDS}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x03\x01\x6a\x00",
        b"garbage",
        wbxml(("Provision", "Provision", POLICIES)),
        wbxml(("Settings", "Settings", ("Settings", "DeviceInformation"))),
        wbxml(("Settings", "Settings", ("Settings", "DeviceInformation", ("Settings", "Get")))),
        wbxml(("Settings", "Settings", information())),
        wbxml(("Settings", "Settings", information(setting("Model", " \t")))),
        wbxml(("AirSync", "Sync", information(*SAID))),
        wbxml(("Settings", "Settings", information(*SAID)))[:-1],
        wbxml(("Settings", "Settings", information(setting("Model", "x" * BODY_LONGEST)))),
    ],
)
def test_what_says_nothing(body: bytes) -> None:
    assert read(body) is None


def test_values_are_made_fit_to_show() -> None:
    document = (
        "Settings",
        "Settings",
        information(setting("Model", "a\x1b[31m\r\nb\u202ec"), setting("OS", "y" * 5000)),
    )
    assert read(wbxml(document)) == {"Model": "a [31m b c", "OS": "y" * VALUE_LONGEST}


@given(
    st.binary(max_size=200) | st.binary(max_size=100).map(lambda some: b"\x03\x01\x6a\x00\x00\x12\x45\x56\x48" + some)
)
def test_garbage_says_nothing_or_something_short(body: bytes) -> None:
    said = read(body)
    assert said is None or all(name in FIELDS and value.isprintable() for name, value in said.items())
