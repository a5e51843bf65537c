"""The OpenAPI document: valid, complete, honest about errors."""

from typing import Any

import httpx
from openapi_spec_validator import validate

from tests.support.control import Control


async def document(control: Control) -> dict[str, Any]:
    transport = httpx.ASGITransport(control.api())
    async with httpx.AsyncClient(transport=transport, base_url="http://gatepost") as api:
        answer = await api.get("/api/v1/openapi.json")
    found: dict[str, Any] = answer.json()
    return found


async def test_the_document_is_valid_and_needs_no_token(control: Control) -> None:
    validate(await document(control))


async def test_every_operation_has_a_summary_a_name_of_its_own_and_problems(control: Control) -> None:
    names = []
    for path, methods in (await document(control))["paths"].items():
        for method, operation in methods.items():
            names.append(operation["operationId"])
            assert operation.get("description"), (method, path)
            if path.startswith("/api/"):
                assert "401" in operation["responses"]
    assert len(names) == len(set(names))


async def test_field_names_are_snake_case(control: Control) -> None:
    schemas = (await document(control))["components"]["schemas"]
    names = {name for schema in schemas.values() for name in schema.get("properties", {})}
    assert names == {name.lower() for name in names}
    assert not [name for name in names if "-" in name]
