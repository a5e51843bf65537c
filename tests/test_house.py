"""``docs/how-a-request-flows.md`` lists every file of the packages that a request passes, and no other."""

import re
from pathlib import Path

import pytest

from gateway.admin.api.actions import ROUTES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-a-request-flows.md"
PACKAGES = (
    *("domain", "decision"),
    *("protocols", "protocols/activesync", "protocols/authz", "protocols/imap", "protocols/pop3", "protocols/smtp"),
    *("protocols/webmail", "proxies", "proxies/mail", "proxies/smtp", "proxies/webmail", "authz"),
)


def house() -> dict[str, dict[str, str]]:
    """What the page says of each file, by package."""
    parts = re.split(r"^### `gateway/([^`]+)/`$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    rows = re.compile(r"^\| `([^`|]+\.py)` \| (.*) \|$", flags=re.MULTILINE)
    return {package: dict(rows.findall(text)) for package, text in zip(parts[1::2], parts[2::2], strict=True)}


def files(package: str) -> list[str]:
    """The modules of a package, without ``__init__``."""
    return sorted(path.name for path in (ROOT / "gateway" / package).glob("*.py") if path.name != "__init__.py")


def test_these_packages_and_no_others() -> None:
    assert tuple(house()) == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_has_its_line_and_every_line_its_file(package: str) -> None:
    found = files(package)
    assert found
    assert list(house()[package]) == found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_line_is_empty(package: str) -> None:
    assert [name for name, words in house()[package].items() if not words.strip()] == []


def test_files_named_on_the_way_are_there() -> None:
    way = PAGE.read_text("utf-8").partition("## The house")[0]
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.py)`", way))
    assert len(named) > 20
    there = {name: ROOT / name if name.startswith("tests/") else ROOT / "gateway" / name for name in named}
    assert [name for name, path in sorted(there.items()) if not path.is_file()] == []


def test_every_route_of_the_api_says_what_it_takes() -> None:
    """Without an entry in ``admin/api/actions.py`` a route is refused to everybody."""
    api = ROOT / "gateway" / "admin" / "api"
    code = "".join(path.read_text("utf-8") for path in sorted(api.glob("*.py")) if path.name != "health.py")
    assert sorted(re.findall(r"^@router\.[a-z]+\([^\n]*\)\nasync def (\w+)", code, flags=re.MULTILINE)) == sorted(
        ROUTES
    )
