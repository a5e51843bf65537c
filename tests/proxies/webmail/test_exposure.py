"""What is open, for whom; everything is closed until it is opened."""

import ipaddress

import pytest

from gateway.domain.certificate import CertificateShown
from gateway.protocols.webmail.paths import Rule
from gateway.proxies.webmail.exposure import CERTIFICATE, VERDICT, Exposure, Opened, WebmailSettings

INSIDE, OUTSIDE, FRONT = "10.20.3.4", "203.0.113.9", "10.20.0.1"


def exposure(**openings: tuple[str, ...]) -> Exposure:
    settings = WebmailSettings(openings={Rule(rule): opened for rule, opened in openings.items()})
    return Exposure(settings, [ipaddress.ip_network(f"{FRONT}/32")])


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("address", [INSIDE, OUTSIDE, FRONT, "", "unknown"])
def test_closed_by_default(rule: Rule, address: str) -> None:
    assert exposure().opened(rule, address) is Opened.CLOSED


@pytest.mark.parametrize(
    ("address", "opened"),
    [
        (INSIDE, Opened.UNJUDGED),
        ("::ffff:10.20.3.4", Opened.UNJUDGED),
        (OUTSIDE, Opened.CLOSED),
        ("", Opened.CLOSED),
        ("10.20.3.4.evil", Opened.CLOSED),
    ],
)
def test_for_a_network(address: str, opened: Opened) -> None:
    assert exposure(ews=("10.20.0.0/16",)).opened(Rule.EWS, address) is opened
    assert exposure(ews=("10.20.0.0/16",)).opened(Rule.MAPI, address) is Opened.CLOSED


def test_a_front_proxy_is_no_client() -> None:
    """Where it does not say for whom it speaks, its own address opens nothing."""
    assert exposure(owa=("10.20.0.0/16",)).opened(Rule.OWA, FRONT) is Opened.CLOSED
    assert exposure(ews=("10.20.0.0/16", VERDICT)).opened(Rule.EWS, FRONT) is Opened.JUDGED


def test_under_the_verdict() -> None:
    both = exposure(dav=(VERDICT, "10.20.0.0/16"))
    assert (both.opened(Rule.DAV, INSIDE), both.opened(Rule.DAV, OUTSIDE)) == (Opened.UNJUDGED, Opened.JUDGED)


@pytest.mark.parametrize(
    ("certificate", "opened"),
    [
        (None, Opened.CLOSED),
        (CertificateShown("4d@ca", 0.0, None, "serial:f9fxj0"), Opened.JUDGED),
        (CertificateShown("4d@ca", 0.0, None, None), Opened.JUDGED),
        # The field that should name its device is not there.
        (CertificateShown("4d@ca", 0.0, None, ""), Opened.CLOSED),
    ],
)
def test_for_certificates(certificate: CertificateShown | None, opened: Opened) -> None:
    ews = exposure(ews=(CERTIFICATE, "10.20.0.0/16"))
    assert ews.opened(Rule.EWS, OUTSIDE, certificate) is opened
    assert ews.opened(Rule.EWS, INSIDE, certificate) is Opened.UNJUDGED
    assert ews.opened(Rule.DAV, OUTSIDE, certificate) is Opened.CLOSED
