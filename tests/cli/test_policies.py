"""``gatepost policy``."""

from tests.cli.conftest import Gatepost


def test_policies(gatepost: Gatepost) -> None:
    gatepost("flag", "set", "--global", "off", "--note", "fire drill")
    assert "enforcement switched off globally (fire drill)" in gatepost("policy", "list").stdout
    assert "enforcement off, 0 exemptions" in gatepost("policy", "show", "2").stdout
    assert gatepost("policy", "show", "9", expect=1).stderr == "gatepost: there is no policy version 9\n"
