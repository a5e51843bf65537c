"""What a log may show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observability.secrets import _IN_TEXT, MASK, masked, printable, without_credentials


@pytest.mark.parametrize(
    "name",
    [
        *("password", "Authorization", "source_secret", "set-cookie", "token", "redis.password", "secrets"),
        *("api_key", "secret_key", "signing-key", "encryption_key"),
    ],
)
def test_values_under_telling_names(name: str) -> None:
    assert masked(name, "hidden") == MASK
    assert masked("more", {"inner": [{name: "hidden"}]}) == {"inner": [{name: MASK}]}


@pytest.mark.parametrize(
    ("name", "value"), [("token_id", "t1"), ("device", "SECRET1"), ("has_token", True), ("key", "k")]
)
def test_values_that_are_no_secrets(name: str, value: object) -> None:
    assert masked(name, value) == value


def test_whether_a_secret_is_set_may_be_told() -> None:
    assert masked("password", "") == ""
    assert masked("password", None) is None


@pytest.mark.parametrize(
    "text",
    [
        "rediss://:hidden@cache:6379/0 refused",
        "postgresql://gatepost:hidden@db/x",
        "got Basic aGlkZGVuOmhpZGRlbg==",
        "Authorization: bearer hidden.hidden.hidden",
        "secret whsec_hidden0123",
        b"Negotiate hiddenhidden",
    ],
)
def test_credentials_inside_a_text(text: str | bytes) -> None:
    assert "hidden" not in masked("text", text).replace("aGlkZGVu", "hidden")


def test_a_url_without_credentials_stays() -> None:
    assert without_credentials("https://mail.internal:8443/a@b") == "https://mail.internal:8443/a@b"


def test_what_contains_itself_ends() -> None:
    endless: dict[str, object] = {}
    endless["more"] = endless
    assert "…" in str(masked("value", endless))


@given(st.text())
def test_printable_text_steers_no_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text, keep="\n").replace("\n", "").isprintable()


WORDS = ("Basic", "bearer", "NTLM", "dXNlcjpzZWNyZXQ=", "whsec_", "abcdefghij", "://", "u:p@h", "@", ":", "x")
BLANKS = (" ", "\t", "\n", "\x1c", "\x85", "\u00a0", "\u2003", "\u3000")


@given(st.lists(st.sampled_from((*WORDS, *BLANKS)), max_size=8).map("".join))
def test_no_form_hides_behind_the_quick_look(text: str) -> None:
    slow = text
    for pattern, replacement in _IN_TEXT:
        slow = pattern.sub(replacement, slow)
    assert without_credentials(text) == slow
