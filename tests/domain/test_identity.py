"""Logins and DeviceIds: every spelling of one name is one, and what is no name is refused."""

import base64
import time
from string import ascii_letters, digits

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.domain.errors import InvalidValue
from gateway.domain.identity import (
    DEVICE_ID_LONGEST,
    LOGIN_LONGEST,
    canonical_device_id,
    canonical_login,
    canonical_plain_device_id,
    identity_rules,
)
from tests.support.evidence_strategies import thorough

PLAIN = identity_rules("", {})
CORP = identity_rules("Corp.Example", {"CORP": "corp.example", "corp.local": "Corp.Example"})

# --- Logins


@pytest.mark.parametrize(
    "spelling",
    [
        "ann",
        "ANN",
        "CORP\\ann",
        "corp\\ANN",
        "ann@corp.example",
        "Ann@CORP.EXAMPLE",
        "ann@corp.local",
        "ann@CORP",
        "CORP\\ann@corp.example",
        "OTHER\\ann@corp.local",
        "ａｎｎ",
        "ann@corp．example",
    ],
)
def test_all_spellings_of_a_login_are_one(spelling: str) -> None:
    assert canonical_login(spelling, CORP) == "ann@corp.example"


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("Ann", "ann"),
        ("CORP\\Ann", "ann@corp"),
        ("ann@other.example", "ann@other.example"),
        ("Straße@corp.example", "strasse@corp.example"),
        ("ﬁona", "fiona"),
        ("ann smith", "ann smith"),
        ("a.smith+x", "a.smith+x"),
        ("a%b", "a%b"),
    ],
)
def test_without_rules_names_stay_as_they_are_but_for_case(spelling: str, canonical: str) -> None:
    assert canonical_login(spelling, PLAIN) == canonical


def test_different_people_stay_different() -> None:
    names = ["ann", "bob", "ann@other.example", "OTHER\\ann", "ann.smith", "annsmith"]
    assert len({canonical_login(name, CORP) for name in names}) == len(names)
    assert canonical_login("OTHER\\ann", CORP) == "ann@other"


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        " ann",
        "ann ",
        "ann\t",
        "an\nn",
        "an\x00n",
        "an\u200bn",
        "ann  smith",
        "ann\u3000 smith",
        *(
            f"an{invisible}n"
            for invisible in "\u034f\u115f\u1160\u17b4\u1806\u180b\u180f\u3164\ufe00\ufe0f\uffa0\ufffc\U000e0100"
        ),
        "a@b@c",
        "@corp.example",
        "ann@",
        "@",
        "\\ann",
        "CORP\\",
        "A\\B\\c",
        "@\\ann",
        "b@corp.example\\ann",
        "CORP\\ ann",
        "CORP \\ann",
        "ann @corp.example",
        "ann@ corp.example",
        "a" * (LOGIN_LONGEST + 1),
    ],
)
def test_what_is_no_login_is_refused(spelling: str) -> None:
    with pytest.raises(InvalidValue):
        canonical_login(spelling, CORP)


@pytest.mark.parametrize("where", [r"%s\n", r"CORP%s\anna", "anna%s", "anna%s@corp.example", "anna@corp.example%s"])
def test_no_spelling_hides_a_device_credential(where: str) -> None:
    """It would get into the log and the store with its secret, as somebody's name."""
    with pytest.raises(InvalidValue, match="device credential"):
        canonical_login(where % "%k3vq7mzd-abcdefghijklmnopqrstuvwxyz", CORP)


def test_the_longest_login() -> None:
    assert canonical_login("a" * LOGIN_LONGEST, PLAIN) == "a" * LOGIN_LONGEST
    longest = "a" * (LOGIN_LONGEST - len("@corp.example"))
    assert canonical_login(longest, CORP) == f"{longest}@corp.example"
    for spelling in (longest + "a", f"CORP\\{longest}a"):
        with pytest.raises(InvalidValue, match="longer than 256 characters"):
            canonical_login(spelling, CORP)


@pytest.mark.parametrize("marks", ["\u0300" * 30_000 + "\u0316" * 30_000, "\u0316\u0300" * 30_000])
def test_a_name_of_nothing_but_marks_costs_no_time(marks: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidValue, match="longer than 256 characters"):
        canonical_login("a" + marks, CORP)
    assert time.process_time() - began < 1.0


def test_a_login_may_be_longer_before_its_letters_are_joined() -> None:
    assert canonical_login("o\u0308" * LOGIN_LONGEST, PLAIN) == "\xf6" * LOGIN_LONGEST


@thorough
@given(st.one_of(st.text(max_size=20), st.from_regex(r"\A([A-Za-z]{1,3}\\)?[ -~]{1,6}(@[a-zA-Z.]{1,8})?\Z")))
@example("ΐ")
@example("İ")
def test_a_canonical_login_is_its_own_canonical_form(spelling: str) -> None:
    try:
        canonical = canonical_login(spelling, CORP)
    except InvalidValue:
        assume(False)
    assert canonical_login(canonical, CORP) == canonical
    assert canonical_login(spelling.upper().lower(), CORP) == canonical_login(spelling.lower(), CORP)


# --- DeviceIds

device_ids = st.one_of(
    st.text(ascii_letters + digits, min_size=1, max_size=DEVICE_ID_LONGEST),
    st.text(ascii_letters + digits, min_size=1, max_size=DEVICE_ID_LONGEST // 2).map(lambda text: text.encode().hex()),
)


@pytest.mark.parametrize(
    "raw",
    [
        b"ApplF9FD6K2XFK11",
        b"applf9fd6k2xfk11",
        b"APPLF9FD6K2XFK11",
        b"ApplF9FD6K2XFK11".hex().encode(),
        b"ApplF9FD6K2XFK11".hex().upper().encode(),
        b"applf9fd6k2xfk11".hex().encode(),
    ],
)
def test_plain_any_case_and_hex_are_one_device(raw: bytes) -> None:
    assert canonical_device_id(raw) == "applf9fd6k2xfk11"


def test_raw_bytes_of_the_base64_form_and_their_hex_are_one_device() -> None:
    raw = bytes(range(16))
    assert canonical_device_id(raw) == raw.hex()
    assert canonical_device_id(raw.hex().encode()) == raw.hex()
    assert canonical_device_id(raw.hex().upper().encode()) == raw.hex()
    assert canonical_device_id(base64.b64decode(base64.b64encode(raw))) == raw.hex()


@pytest.mark.parametrize("raw", [b"", b"a" * 33, b"\x00" * 33])
def test_empty_and_33_octets_are_no_device_id(raw: bytes) -> None:
    with pytest.raises(InvalidValue):
        canonical_device_id(raw)


def test_the_longest_device_id() -> None:
    assert canonical_device_id(b"Z" * 32) == "z" * 32
    assert canonical_device_id(b"\xff" * 32) == "ff" * 32


@pytest.mark.parametrize("text", ["", " ", "a b", "a-b", "a,b", "ä", "a\x00", "a" * 33, "z" * 40, "ab" * 33, "a" * 65])
def test_what_people_write_is_letters_and_digits(text: str) -> None:
    with pytest.raises(InvalidValue):
        canonical_plain_device_id(text)


@thorough
@given(device_ids)
def test_every_spelling_of_an_id_is_the_same_device(text: str) -> None:
    canonical = canonical_device_id(text.encode())
    for spelling in (text, text.upper(), text.lower(), text.swapcase()):
        assert canonical_device_id(spelling.encode()) == canonical
        assert canonical_plain_device_id(f" {spelling} ") == canonical
        # Back ends print the octets of what they received, whatever its case.
        assert canonical_plain_device_id(spelling.encode().hex()) == canonical
        assert canonical_plain_device_id(spelling.encode().hex().upper()) == canonical


@thorough
@given(st.binary(min_size=1, max_size=DEVICE_ID_LONGEST))
def test_a_canonical_id_is_its_own_canonical_form(raw: bytes) -> None:
    canonical = canonical_device_id(raw)
    assert canonical == canonical.lower()
    assert canonical_plain_device_id(canonical) == canonical


@thorough
@given(device_ids)
def test_only_hex_that_spells_an_id_falls_together_with_another(text: str) -> None:
    assume(canonical_device_id(text.encode()) != text.lower())
    assert bytes.fromhex(text).isalnum()
    assert canonical_device_id(bytes.fromhex(text)) == canonical_device_id(text.encode())


@given(st.text("ghijklmnopqrstuvwxyzGHIJ0123456789", min_size=1, max_size=32).filter(lambda text: not text.isdigit()))
def test_an_id_that_is_no_hex_keeps_its_letters(text: str) -> None:
    assert canonical_device_id(text.encode()) == text.lower()
