"""The served contract: a valid document, that keeps what agents were promised, and says what the receiver does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.inventory.sources.push.payload import PayloadInvalid, read_report
from tests.inventory.agreement import DOCUMENT, PATH, validator
from tests.inventory.events import NOW, delta, full, sample
from tests.inventory.payloads import PAYLOADS, changed
from tests.inventory.receiving import Receiving

PROMISED = sample("agent-push.openapi.json")
PROMISED_REPORT = sample("agent-report.schema.json")
REPORT_SCHEMA = Draft202012Validator(PROMISED_REPORT)
EVENT_SCHEMA = validator({"$ref": "#/components/schemas/CloudEvent"})
EVENTS = ("agent-report.cloudevent.json", "agent-report-delta.cloudevent.json")
POST = DOCUMENT["paths"][PATH]["post"]


async def test_it_is_served(receiver: Receiving) -> None:
    answer = await receiver.client.get("/inventory/v1/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == DOCUMENT


def test_it_is_an_openapi_document() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_keeps_paths_and_answers() -> None:
    assert set(PROMISED["paths"]) <= set(DOCUMENT["paths"])
    promised = PROMISED["paths"][PATH]["post"]
    assert set(promised["responses"]) <= set(POST["responses"])
    assert promised["operationId"] == POST["operationId"]
    for status, answer in promised["responses"].items():
        assert set(answer.get("content", {})) <= set(POST["responses"][status].get("content", {})), status
        assert set(answer.get("headers", {})) <= set(POST["responses"][status].get("headers", {})), status
    assert list(promised["requestBody"]["content"]) == list(POST["requestBody"]["content"])


def test_it_asks_for_no_header_more() -> None:
    promised = {each["name"]: each for each in PROMISED["paths"][PATH]["post"]["parameters"]}
    served = {each["name"]: each for each in POST["parameters"]}
    assert set(promised) <= set(served)
    # The signature is the one way of proof that is there so far.
    assert {name for name, each in served.items() if each["required"]} == set(promised)
    for name, each in promised.items():
        assert each["schema"] == served[name]["schema"], name


def test_it_asks_for_no_member_more() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name in ("CloudEvent", "Ack", "Problem"):
        promised = PROMISED["components"]["schemas"][name]
        assert set(promised["required"]) == set(schemas[name]["required"]), name
        assert set(promised["properties"]) <= set(schemas[name]["properties"]), name
    report, promised = schemas["ReportIn"], PROMISED_REPORT
    _same_members(promised, report)
    _same_members(promised["properties"]["collector"], schemas["CollectorIn"])
    _same_members(promised["properties"]["device"], schemas["DeviceIn"])
    _same_members(promised["properties"]["device"]["properties"]["ids"]["items"], schemas["KeyIn"])
    _same_members(promised["properties"]["apps"]["items"], schemas["AppIn"])


def _same_members(promised: dict[str, Any], served: dict[str, Any]) -> None:
    assert set(promised["properties"]) == set(served["properties"])
    assert set(promised["required"]) == set(served["required"])
    assert promised["additionalProperties"] == served["additionalProperties"]
    for name, schema in promised["properties"].items():
        if "enum" in schema:
            assert set(schema["enum"]) == set(served["properties"][name]["enum"]), name


@pytest.mark.parametrize("name", EVENTS)
def test_the_samples_are_valid_by_both(name: str) -> None:
    EVENT_SCHEMA.validate(sample(name))
    REPORT_SCHEMA.validate(sample(name)["data"])
    assert read_report(sample(name), "agents", NOW).source_device == sample(name)["subject"]


def test_the_reports_of_these_tests_are_valid_by_both() -> None:
    for event in (
        full(),
        full(1, ()),
        delta(2, 1, added=("a",)),
        changed(data__device__ids=[{"type": "udid", "value": "x"}]),
    ):
        EVENT_SCHEMA.validate(event)
        REPORT_SCHEMA.validate(event["data"])


def test_what_the_document_forbids_is_refused() -> None:
    """And what it cannot express is refused by a sentence of its own."""
    forbidden = 0
    for members, _ in PAYLOADS:
        event = changed(**members)
        if not EVENT_SCHEMA.is_valid(event):
            forbidden += 1
        with pytest.raises(PayloadInvalid):
            read_report(event, "agents", NOW)
    assert forbidden > len(PAYLOADS) / 2


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NAME = st.from_regex(r"[A-Za-z0-9._ -]{0,10}[A-Za-z0-9]", fullmatch=True).map(str.strip).filter(bool)


def _some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


def _one(schema: dict[str, Any], name: str) -> st.SearchStrategy[Any]:
    return st.sampled_from(schema["properties"][name]["enum"])


_APP = PROMISED_REPORT["properties"]["apps"]["items"]
_KEY = PROMISED_REPORT["properties"]["device"]["properties"]["ids"]["items"]
APPS = st.builds(
    dict.__or__,
    st.fixed_dictionaries({"platform": _one(_APP, "platform"), "id": NAME}),
    _some(
        name=TEXT,
        version=TEXT,
        version_code=st.integers(0, 2**63 - 1),
        publisher=TEXT,
        team_id=st.from_regex(r"[A-Z0-9]{10}", fullmatch=True),
        signers=st.lists(st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True), max_size=8),
        installer=TEXT,
        source=_one(_APP, "source"),
        system=st.booleans(),
    ),
)
KEYS = st.fixed_dictionaries({"type": _one(_KEY, "type"), "value": NAME})


@given(st.lists(APPS, max_size=4), st.lists(KEYS, min_size=1, max_size=4), st.integers(1, 2**53 - 1), TEXT)
def test_what_agents_were_promised_is_taken(
    apps: list[dict[str, Any]], keys: list[dict[str, Any]], sequence: int, text: str
) -> None:
    collector = {"name": text, "version": text, "platform": "ipados", "os_version": text}
    event = full(1, (), collector=collector)
    device = {"ids": keys, "ownership": "personal"}
    event["data"] |= {"app_count": len(apps), "apps": apps, "sequence": sequence, "device": device}
    REPORT_SCHEMA.validate(event["data"])
    EVENT_SCHEMA.validate(event)
    report = read_report(event, "agents", NOW)
    assert [each.app.id for each in report.apps] == [each["id"] for each in apps]
    assert report.sequence == sequence
    assert {(key.type, key.value) for key in report.device_keys} == {(key["type"], key["value"]) for key in keys}


async def test_other_addresses_and_methods_are_problems_too(receiver: Receiving) -> None:
    for method, path, status in [
        ("GET", PATH, 405),
        ("PUT", PATH, 405),
        ("DELETE", PATH, 405),
        ("POST", "/inventory/v1/report", 404),
        ("POST", PATH + "/", 404),
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("POST", "/inventory/v1/openapi.json", 405),
    ]:
        answer = await receiver.client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path
        validator({"$ref": "#/components/schemas/Problem"}).validate(answer.json())
        assert status != 405 or answer.headers["allow"]
