"""The words of refusal: whole lines, codes that clients know, and no line more than was meant."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.imap import refusals
from gateway.protocols.imap.responses import ResponseFollower


def test_the_words() -> None:
    text = b"Mail on this device is blocked by your organization because of this app: TikTok. Remove it."
    assert refusals.denied(b"a1", "TikTok", "Remove it.") == (
        b"* NO [ALERT] %b\r\na1 NO [CONTACTADMIN] %b\r\n" % (text, text)
    )
    assert refusals.cut("TikTok", "Remove it.") == b"* BYE [ALERT] %b\r\n" % text
    assert refusals.deferred(b"a1").startswith(b"a1 NO [UNAVAILABLE] The mail gateway cannot answer now.")
    assert refusals.cut_for_now().startswith(b"* BYE [UNAVAILABLE] ")
    assert refusals.drained().startswith(b"* BYE ")
    assert refusals.denied(b"a", "抖音", utf8=True).count("抖音".encode()) == 2


@given(app=st.text(), note=st.text(), utf8=st.booleans())
def test_whatever_the_app_is_called(app: str, note: str, utf8: bool) -> None:
    for octets, lines in ((refusals.denied(b"a1", app, note, utf8=utf8), 2), (refusals.cut(app, note, utf8=utf8), 1)):
        assert octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n") == lines
        assert len(octets) < lines * 512
        assert not re.search(rb"[{}\0]", octets)
        follower = ResponseFollower()
        follower.follow(octets)
        assert follower.at_boundary
