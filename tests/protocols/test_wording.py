"""Texts from outside in one line of a protocol: short, printable, and nothing that a client would act upon."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.wording import BLOCKED_TEXT, blocked, one_line


def test_lines_become_sentences() -> None:
    assert one_line(blocked("TikTok", "Remove it.\nThen wait"), 200) == (
        b"Mail on this device is blocked by your organization because of this app: TikTok. Remove it. Then wait"
    )
    assert one_line(blocked("", ""), 200) == BLOCKED_TEXT.encode()


def test_letters_lose_their_accents_unless_utf8_is_understood() -> None:
    assert one_line("Größe „é“ – 抖音 (TikTok)", 100) == b'Grosse ?e" - ? (TikTok)'
    assert one_line("抖音 ✓", 100, utf8=True) == "抖音 ✓".encode()
    assert one_line("é" * 10, 5, utf8=True) == "éé".encode()


def test_nothing_announces_a_literal() -> None:
    assert one_line("see {5}", 100) == b"see (5)"
    assert one_line("see ｛5｝", 100) == b"see (5)"


def test_something_is_always_said() -> None:
    assert one_line("", 10) == one_line("\r\n", 10) == b"-"


@given(text=st.text(), longest=st.integers(1, 80), utf8=st.booleans())
def test_whatever_it_is(text: str, longest: int, utf8: bool) -> None:
    line = one_line(text, longest, utf8=utf8)
    assert 1 <= len(line) <= longest
    assert not set(line) & (set(range(32)) | set(b"{}\x7f"))
    assert line.decode("utf-8" if utf8 else "ascii").strip() == line.decode()
