"""``docs/reference/api.md`` names every route of the API, and nothing else."""

import re
from pathlib import Path

import httpx

from tests.support.control import Control

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"


async def test_every_route_is_documented_and_nothing_else(control: Control) -> None:
    transport = httpx.ASGITransport(control.api())
    async with httpx.AsyncClient(transport=transport, base_url="http://gatepost") as api:
        paths = (await api.get("/api/v1/openapi.json")).json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    told = set(re.findall(r"^\| `((?:GET|POST|PUT|DELETE) /[^`]*)`", PAGE.read_text("utf-8"), flags=re.MULTILINE))
    assert {re.sub(r"\?.*", "", route) for route in told} == routes


def test_every_kind_of_problem_is_documented() -> None:
    sources = (Path(__file__).parents[3] / "gateway" / "admin" / "api").glob("*.py")
    code = "".join(path.read_text("utf-8") for path in sources)
    kinds = set(re.findall(r'(?:Refused|problem)\(\s*\d+, "([a-z_]+)"', code))
    kinds |= {"method_not_allowed", "too_slow", "refused"}
    told = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE.read_text("utf-8"), flags=re.MULTILINE))
    assert told == kinds
