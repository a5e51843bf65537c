"""Envoy's example configurations are read by Envoy's own messages; ``tests/live/askers`` runs them."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from google.protobuf import json_format

from gateway.authz.envoy_service import KEY
from gateway.authz.settings import AuthzSettings

EXAMPLES = Path(__file__).parents[2] / "config" / "examples" / "envoy"
for extension in (
    *("access_loggers.stream.v3.stream", "filters.http.ext_authz.v3.ext_authz", "filters.http.router.v3.router"),
    *("filters.network.http_connection_manager.v3.http_connection_manager", "transport_sockets.tls.v3.tls"),
    "upstreams.http.v3.http_protocol_options",
):
    # Known by their names from then on, which is how a configuration has them.
    importlib.import_module(f"envoy.extensions.{extension}_pb2")


def read(name: str) -> dict[str, Any]:
    """A configuration as Envoy understands it, written anew."""
    text = yaml.safe_load((EXAMPLES / name).read_text("utf-8"))
    bootstrap = json_format.ParseDict(text, Bootstrap())
    found: dict[str, Any] = json_format.MessageToDict(bootstrap, preserving_proto_field_name=True)
    return found


def filter_of(configuration: dict[str, Any]) -> dict[str, Any]:
    """Its ext_authz."""
    (listener,) = configuration["static_resources"]["listeners"]
    connections = listener["filter_chains"][0]["filters"][0]["typed_config"]
    found: dict[str, Any] = connections["http_filters"][0]["typed_config"]
    return found


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("name", ["envoy.yaml", "envoy-grpc.yaml"])
def test_every_field_is_one_of_envoys(name: str) -> None:
    found = filter_of(read(name))
    assert found["status_on_error"] == {"code": "ServiceUnavailable"}
    # False is left out: nobody is let in without an answer.
    assert "failure_mode_allow" not in found


def test_over_grpc_it_says_what_gatepost_reads() -> None:
    found = filter_of(read("envoy-grpc.yaml"))
    asked = found["grpc_service"]
    assert [each["key"] for each in asked["initial_metadata"]] == [KEY]
    assert seconds(asked["timeout"]) > 2 * AuthzSettings().answer_seconds
    assert not {"allowed_headers", "disallowed_headers"} & set(found)
    (cluster,) = (
        each for each in read("envoy-grpc.yaml")["static_resources"]["clusters"] if each["name"] == "gatepost"
    )
    (options,) = cluster["typed_extension_protocol_options"].values()
    assert "http2_protocol_options" in options["explicit_http_config"]


def test_a_field_that_is_none_is_found() -> None:
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict({"static_resources": {"listener": []}}, Bootstrap())


@pytest.mark.parametrize("name", ["envoy.yaml", "envoy-grpc.yaml"])
def test_what_is_not_asked_about_leads_to_autodiscover_and_nowhere_else(name: str) -> None:
    """Windows takes %5c for a slash, and a route of Envoy's sees the path as it came."""
    (listener,) = read(name)["static_resources"]["listeners"]
    connections = listener["filter_chains"][0]["filters"][0]["typed_config"]
    unasked = [
        route["match"]
        for host in connections["route_config"]["virtual_hosts"]
        for route in host["routes"]
        if route.get("typed_per_filter_config")
    ]
    (match,) = unasked
    regex = re.compile(match["safe_regex"]["regex"])
    for path in ("autodiscover.xml", "Autodiscover.xml", "autodiscover.json", "autodiscover.json/v1.0/a@corp.example"):
        assert regex.fullmatch(f"/autodiscover/{path}")
    for path in (
        "..%5cMicrosoft-Server-ActiveSync",
        "autodiscover.xml/..%5c..%5cx",
        "autodiscover.json/v1.0/..%5cx",
        "x",
    ):
        assert not regex.fullmatch(f"/autodiscover/{path}")
