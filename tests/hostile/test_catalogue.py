"""The collection itself: large enough, each case told apart and with its source, and what public suites it covers."""

import re

from gateway.protocols.activesync.usual import read_usual
from tests.hostile.case import SMUGGLED, usual
from tests.hostile.catalogue import CASES, THEMES

HTTP11PROBE_SMUGGLING = 87
"""Tests of the category "smuggling" of Http11Probe as of 2026, counted by their names (SMUG-...)."""
HTTP11PROBE_MALFORMED = 26
"""The same of "malformed input" (MAL-...)."""
SERVER_BUGS = set(range(1, 49))
PROXY_BUGS = set(range(1, 26)) - {8}
"""Bugs of servers and of proxies that HTTP Garden lists, by number; no proxy has number 8."""


def test_it_is_large_enough() -> None:
    assert len(CASES) >= 260


def test_each_case_says_what_it_tries_and_where_that_is_published() -> None:
    for case in CASES:
        assert case.tries
        assert case.published
        assert case.gets


def test_names_are_unique_within_a_theme() -> None:
    for theme, cases in THEMES.items():
        names = [case.name for case in cases]
        assert len(set(names)) == len(names), theme


def test_octets_are_unique() -> None:
    octets: dict[bytes, str] = {}
    for case in CASES:
        assert case.octets not in octets, (case.name, octets[case.octets])
        octets[case.octets] = case.name


def test_what_is_altered_is_a_usual_request() -> None:
    """So one octet that the short way should not take, and does, shows."""
    assert read_usual(usual()) is not None
    assert read_usual(SMUGGLED) is not None


def sources(pattern: str) -> set[str]:
    return {found for case in CASES for found in re.findall(pattern, case.published)}


def numbers(kind: str) -> set[int]:
    listed = " ".join(case.published for case in CASES)
    found = re.findall(rf"{kind} bugs? ([0-9]+(?:(?:, | and )[0-9]+)*)", listed)
    return {int(number) for group in found for number in re.findall("[0-9]+", group)}


def test_every_smuggling_test_of_http11probe_is_here() -> None:
    assert len(sources(r"SMUG-[A-Z0-9_-]+")) == HTTP11PROBE_SMUGGLING
    assert len(sources(r"MAL-[A-Z0-9-]+")) == HTTP11PROBE_MALFORMED


def test_every_bug_of_http_garden_is_here() -> None:
    assert numbers("server") == SERVER_BUGS
    assert numbers("proxy") == PROXY_BUGS
