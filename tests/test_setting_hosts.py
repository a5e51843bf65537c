"""Hosts in URLs of settings: whatever can be one is taken."""

import pytest

from gateway.settings.urls import server_url

TAKEN = (
    *("mail.internal", "mail_1.internal", "mail.internal.", "127.0.0.1", "[::1]", "[fe80::1%25eth0]"),
    *("bücher.example", "bu\u0308cher.example", "मेल.example", "xn--bcher-kva.example", "host。example"),
)


@pytest.mark.parametrize("host", TAKEN)
def test_a_host_is_taken(host: str) -> None:
    assert server_url(f"https://{host}:8443", "write it like https://mail.internal").port == 8443


@pytest.mark.parametrize("host", ["a,b", "a b", "a(b)", "a..b", "a*b", "\u2028"])
def test_what_is_none_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        server_url(f"https://{host}:8443", "write it like https://mail.internal")
