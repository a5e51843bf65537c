"""Whether an answer of the receiver is one that its OpenAPI document promises."""

from typing import Any

import httpx
from jsonschema import Draft202012Validator

from gateway.inventory.sources.push import openapi

PATH = "/inventory/v1/reports"
DOCUMENT = openapi.document()


def check(response: httpx.Response) -> None:
    """Fail unless status, media type, headers and body of an answer to a POST are promised."""
    promised = DOCUMENT["paths"][PATH]["post"]["responses"]
    assert str(response.status_code) in promised, (response.status_code, response.text)
    answer = _resolved(promised[str(response.status_code)])
    (media_type,) = answer["content"]
    assert response.headers["content-type"] == media_type
    for name in answer.get("headers", {}):
        assert response.headers[name].isdigit(), name
    body = response.json()
    validator(answer["content"][media_type]["schema"]).validate(body)
    if media_type == "application/problem+json":
        assert body["status"] == response.status_code
        assert body["detail"]
        assert "Traceback" not in body["detail"]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """A validator of a schema that may refer to the document's components (OpenAPI 3.1 uses JSON Schema 2020-12)."""
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def _resolved(answer: dict[str, Any]) -> dict[str, Any]:
    reference = answer.get("$ref")
    found: dict[str, Any] = DOCUMENT["components"]["responses"][reference.rpartition("/")[2]] if reference else answer
    return found
