"""The octets of an entry: canonical, bounded, and nobody's name in them."""

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import (
    ENTRY_BYTES,
    WHOLE_NUMBERS_BELOW,
    Value,
    canonical,
    decoded,
    device_pseudonym_of,
    encoded,
    moment_text,
    pseudonym_of,
    pseudonymous,
)

NAMES = st.text(st.characters(max_codepoint=127), max_size=8)
VALUES: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.booleans() | st.integers(1 - WHOLE_NUMBERS_BELOW, WHOLE_NUMBERS_BELOW - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_the_octets_are_those_of_rfc_8785(value: dict[str, Value]) -> None:
    assert canonical(value) == rfc8785.dumps(json.loads(json.dumps(value)))


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_an_export_gives_the_octets_again(value: dict[str, Value]) -> None:
    octets = canonical(value)
    again = decoded(octets)
    assert again is not None
    assert canonical(again) == octets  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1.5, WHOLE_NUMBERS_BELOW, b"octets", object(), {1: 2}, {"ä": 1}])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="audit entry"):
        canonical({"x": value})  # type: ignore[dict-item]


def test_an_entry_is_bounded() -> None:
    with pytest.raises(ValueError, match="at most 65536 octets"):
        canonical({"x": "y" * ENTRY_BYTES})


def test_a_lone_surrogate_is_no_reason_to_lose_an_entry() -> None:
    assert canonical({"x": "a\ud800b"}) == b'{"x":"a?b"}'


def test_moments_are_text_to_the_microsecond() -> None:
    assert moment_text(1_700_000_000.123456) == "2023-11-14T22:13:20.123456Z"
    assert moment_text(0) == "1970-01-01T00:00:00.000000Z"


def test_what_an_entry_says_and_whom_it_does_not_name() -> None:
    entry = AuditEntry(
        AuditKind.DEVICE_PINNED,
        "anna",
        (Subject("bob@corp.example", "phone1", {"what": "pinned"}),),
        {"source": "mdm"},
    )
    key = bytes(32)
    octets = encoded(pseudonymous(entry, {"bob@corp.example": key}), 7, 1_700_000_000.0)
    assert json.loads(octets) == {
        "actor": "anna",
        "at": "2023-11-14T22:13:20.000000Z",
        "details": {"source": "mdm"},
        "kind": "device_pinned",
        "seq": 7,
        "subjects": [
            {
                "device": device_pseudonym_of(key, "phone1"),
                "person": pseudonym_of(key, "bob@corp.example"),
                "what": "pinned",
            }
        ],
        "v": 1,
    }
    assert b"bob" not in octets
    assert b"phone1" not in octets


def test_a_pseudonym_hangs_on_key_and_name() -> None:
    one, other = bytes(32), bytes([1] * 32)
    names = {
        pseudonym_of(one, "ann"),
        pseudonym_of(other, "ann"),
        pseudonym_of(one, "bob"),
        device_pseudonym_of(one, "ann"),
    }
    assert len(names) == 4
    assert pseudonym_of(one, "ann") == pseudonym_of(one, "ann")


def test_details_cannot_take_the_place_of_a_pseudonym() -> None:
    entry = AuditEntry(AuditKind.NOTICE, "anna", (Subject("ann", details={"person": "ann"}),))
    content = pseudonymous(entry, {"ann": bytes(32)})
    assert json.loads(canonical(content))["subjects"] == [{"person": pseudonym_of(bytes(32), "ann")}]


@pytest.mark.parametrize("octets", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_octets_that_no_entry_has(octets: bytes) -> None:
    assert decoded(octets) is None
