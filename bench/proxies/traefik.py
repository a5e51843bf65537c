"""Traefik, as a plain proxy and asking Gatepost by ForwardAuth, by one processor; without TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.machine import Missing, child, descendants, listens, wait_until
from tests.live.askers.from_wheels import missing_wheels
from tests.live.askers.from_wheels import traefik as program

_OWN = """
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
log: {{ level: ERROR }}
entryPoints: {{ web: {{ address: "127.0.0.1:{port}" }} }}
providers: {{ file: {{ filename: {routes}, watch: false }} }}
serversTransport: {{ maxIdleConnsPerHost: 1024 }}
"""
_ROUTES = """
http:
  routers: {{ mail: {{ rule: "PathPrefix(`/`)", entryPoints: [web], middlewares: [{asks}], service: mail }} }}
  services: {{ mail: {{ loadBalancer: {{ servers: [{{ url: "http://127.0.0.1:{mail}" }}] }} }} }}
"""
_ASKS = """
  middlewares: {{ asks: {{ forwardAuth: {{ address: "http://127.0.0.1:{asked}/authz/v1/traefik/{key}" }} }} }}
"""


@contextmanager
def traefik(
    core: int, directory: Path, mail: int, port: int, asked: int = 0, key: str = ""
) -> Iterator[tuple[int, ...]]:
    """Its process ids. ``asked``: where Gatepost is asked; 0: nobody is. Raises ``Missing``."""
    if reason := missing_wheels(program()):
        raise Missing(reason)
    place = directory / f"traefik-{port}"
    place.mkdir()
    routes, own = place / "routes.yml", place / "traefik.yml"
    more = _ASKS.format(asked=asked, key=key) if asked else ""
    routes.write_text(_ROUTES.format(mail=mail, asks="asks" if asked else "") + more)
    own.write_text(_OWN.format(port=port, routes=routes))
    with child(core, str(program()), f"--configFile={own}", environment={"GOMAXPROCS": "1"}) as started:
        wait_until(lambda: listens(port) or started.poll() is not None, "Traefik listens")
        if started.poll() is not None:
            raise SystemExit(f"Traefik does not start: {program()} --configFile={own}")
        # It listens before it has read its routes.
        wait_until(
            lambda: httpx.get(f"http://127.0.0.1:{port}/").status_code != httpx.codes.NOT_FOUND, "Traefik serves"
        )
        yield descendants(started.pid)
