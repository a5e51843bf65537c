"""Every web server that asks about requests, by one name each, however it is started and whichever way it asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.live.askers import from_wheels
from tests.live.askers.from_wheels import start_envoy, start_traefik
from tests.live.askers.servers import NO_CHANGES, missing, start_caddy, start_haproxy, start_nginx_http
from tests.live.children import Child
from tests.support.phone_certificates import Certificates

NAMES = {
    "nginx": "nginx",
    "caddy": "Caddy",
    "haproxy": "HAProxy",
    "traefik": "Traefik",
    "envoy": "Envoy, gRPC",
    "envoy-http": "Envoy, HTTP",
}
"""As the documentation calls them."""

PATIENCE: Mapping[str, Mapping[str, str]] = {
    "nginx": {"proxy_connect_timeout 1s": "proxy_connect_timeout 5s", "proxy_read_timeout 2s": "proxy_read_timeout 5s"},
    "caddy": {"dial_timeout 1s": "dial_timeout 5s", "response_header_timeout 2s": "response_header_timeout 5s"},
    "haproxy": {"timeout processing 500ms": "timeout processing 5s", "timeout hello 1s": "timeout hello 5s"},
    "traefik": {},
    "envoy": {"timeout: 0.5s": "timeout: 5s"},
    "envoy-http": {"timeout: 0.5s": "timeout: 5s"},
}
"""What an example has changed in it so that a busy machine does not make "away" of an answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Ports at which Gatepost is asked."""

    http: int
    haproxy: int = 0
    envoy: int = 0


def missing_web(name: str) -> str:
    """Why it cannot be started here; empty when it can."""
    if name == "traefik":
        return missing() or from_wheels.missing_wheels(from_wheels.traefik())
    if name.startswith("envoy"):
        return missing() or from_wheels.missing_wheels(from_wheels.envoy())
    return missing(name)


def start_web(
    name: str,
    directory: Path,
    asked: Asked,
    *,
    listen: int,
    mail: int,
    made: Certificates,
    handing_on: bool = False,
    changes: Mapping[str, str] = NO_CHANGES,
    patient: bool = True,
) -> Child:
    """One of ``NAMES`` by its example; ``changes`` of that are made for Traefik and Envoy only.

    ``patient``: with ``PATIENCE``, where a test is not about how long the example waits.
    """
    patience = PATIENCE[name] if patient else NO_CHANGES
    if name == "haproxy":
        return start_haproxy(
            directory,
            listen=listen,
            gatepost=asked.http,
            spop=asked.haproxy,
            mail=mail,
            made=made,
            handing_on=handing_on,
            patience=patience,
        )
    port = asked.envoy if name == "envoy" else asked.http
    if name in ("nginx", "caddy"):
        start = start_nginx_http if name == "nginx" else start_caddy
        return start(
            directory, listen=listen, gatepost=port, mail=mail, made=made, handing_on=handing_on, patience=patience
        )
    if name == "traefik":
        return start_traefik(
            directory, listen=listen, gatepost=port, mail=mail, made=made, handing_on=handing_on, changes=changes
        )
    by = from_wheels.GRPC if name == "envoy" else from_wheels.HTTP
    return start_envoy(
        directory,
        listen=listen,
        gatepost=port,
        mail=mail,
        made=made,
        by=by,
        handing_on=handing_on,
        changes={**changes, **patience},
    )
