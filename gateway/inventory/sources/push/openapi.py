"""The contract of the receiver as an OpenAPI 3.1 document."""

from typing import Any

from gateway.inventory.answers import AckStatus
from gateway.inventory.sources.push.payload import EventIn

TITLE = "App inventory intake"
VERSION = "1.0.0"
_DESCRIPTION = "One report per request, CloudEvents 1.0 structured mode, signed per Standard Webhooks 1.0.0."


def document() -> dict[str, Any]:
    """The document; a fresh one each time."""
    schema = EventIn.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = {**schema.pop("$defs"), "CloudEvent": schema, "Ack": _ACK, "Problem": _PROBLEM}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": {"/inventory/v1/reports": {"post": _submit()}},
        "components": {
            "securitySchemes": {
                "webhookSignature": {"type": "apiKey", "in": "header", "name": "webhook-signature"},
            },
            "responses": {"Problem": _problem("Not acceptable")},
            "schemas": schemas,
        },
    }


def _submit() -> dict[str, Any]:
    return {
        "operationId": "submitReport",
        "security": [{"webhookSignature": []}],
        "parameters": [
            _header(
                "webhook-id",
                "Idempotency key; unchanged on retry. No full stop allowed.",
                {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9_-]+$"},
            ),
            _header("webhook-timestamp", "Unix seconds of this attempt.", {"type": "integer"}),
            _header(
                "webhook-signature",
                'Space-separated list of "v1,<base64>" or "v1a,<base64>".',
                {"type": "string"},
            ),
            _header(
                "gatepost-source",
                "Name of the source; only its secrets are tried then.",
                {"type": "string", "maxLength": 64},
                required=False,
            ),
            _header("content-encoding", "Coding of the body.", {"enum": ["identity", "gzip"]}, required=False),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/cloudevents+json": {"schema": {"$ref": "#/components/schemas/CloudEvent"}}},
        },
        "responses": {
            "202": _acknowledged("Stored and applied, or older than what is stored"),
            "200": _acknowledged("Same webhook-id and same body seen before; nothing changed"),
            "400": {"$ref": "#/components/responses/Problem"},
            "401": _problem("Signature missing or wrong, or the timestamp too far off"),
            "403": _problem(
                "Sender may not report for this device, name this user, or claim one name for so many devices"
            ),
            "408": _problem("The body did not arrive in time"),
            "409": _problem(
                "Same webhook-id with another body, or delta whose base_sequence is not the stored one, or that names "
                "an app id of which there are several entries; send a full report"
            ),
            "410": _problem("The source was removed; stop sending"),
            "413": _problem("Body over the limit"),
            "415": _problem("Not application/cloudevents+json, or a content coding other than gzip"),
            "422": {"$ref": "#/components/responses/Problem"},
            "429": _retry("Slow down"),
            "503": _retry("Temporarily unable to store; retry"),
        },
    }


def _header(name: str, description: str, schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": required, "schema": schema, "description": description}


def _acknowledged(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Ack"}}},
    }


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _retry(description: str) -> dict[str, Any]:
    return {**_problem(description), "headers": {"Retry-After": {"schema": {"type": "integer"}}}}


_ACK: dict[str, Any] = {
    "type": "object",
    "required": ["status", "sequence"],
    "additionalProperties": False,
    "properties": {
        "status": {"enum": [status.value for status in AckStatus]},
        "sequence": {"type": "integer", "description": "Highest sequence now stored for the device"},
        "next_report_seconds": {"type": "integer", "description": "Send the next full report within this time"},
        "scope_capped_to": {
            "enum": ["device", "work_profile", "managed_only", "user", "none"],
            "description": "The source may claim no wider scope than this; the report counts with it",
        },
        "suspicious": {
            "const": True,
            "description": "The list shrank unbelievably: the apps known before are kept until a believable one comes",
        },
        "ignored_ids": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Types of device ids whose value is no user name and no DeviceId",
        },
    },
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
