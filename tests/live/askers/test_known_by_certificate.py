"""Traefik and Envoy that show Gatepost a certificate in the place of a key; and what only Envoy is told."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway.network.tls import ServerTls
from tests.live.askers.from_wheels import until_served
from tests.live.askers.test_web import ANNA, BERT, BLOCKED, request
from tests.live.askers.web_servers import Asked, missing_web, start_web
from tests.live.children import Child, free_ports
from tests.network.authority import Authority, Issued
from tests.support.asking import Asking, asking
from tests.support.phone_certificates import Certificates
from tests.support.raw_http import Client, HttpAnswer
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer, mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY_LINES = """                        initial_metadata:
                          - { key: x-gatepost-key, value: put-the-key-here }
"""
NO_KEY = "                        # put-the-key-here: none, the certificate says it\n"
"""Within TLS, and without the key of the example."""


@dataclass(frozen=True, slots=True)
class Secured:
    """A front that wants certificates, and a mail server."""

    gatepost: Asking
    asked: Asked
    authority: Authority
    mailbox: MailboxServer
    ground: Path

    @asynccontextmanager
    async def before(self, name: str, asker: Issued | None, place: str) -> AsyncIterator["Before"]:
        """A server that shows this certificate to Gatepost, in a directory of its own; None: it shows none."""
        (listen,) = free_ports(1)
        shown = self.authority.issue()
        made = Certificates(self.authority.certificate, shown.certificate, shown.key)
        child = start_web(
            name,
            self.ground / place,
            self.asked,
            listen=listen,
            mail=urlsplit(self.mailbox.url).port or 0,
            made=made,
            changes=changes(name, self.authority, asker),
        )
        try:
            if name == "traefik":
                await until_served(listen, made)
            yield Before(listen, made, child)
        finally:
            child.stop()


@dataclass(frozen=True, slots=True)
class Before:
    """A server of the kind that asks."""

    port: int
    made: Certificates
    child: Child

    async def ask(self, octets: bytes) -> HttpAnswer:
        """One request on a connection of its own."""
        client = await Client.connected(f"https://localhost:{self.port}", tls=self.made.trust())
        try:
            return await client.ask(octets)
        finally:
            client.close()


def for_traefik(authority: Authority, asker: Issued | None) -> dict[str, str]:
    """Both the question and what is told are asked for so."""
    own = f"          cert: {asker.certificate}\n          key: {asker.key}\n" if asker else ""
    shown = f"      certificates: [{{ certFile: {asker.certificate}, keyFile: {asker.key} }}]\n" if asker else ""
    asks = '        address: "http://127.0.0.1:8070/authz/v1/traefik/put-the-key-here"\n'
    within = '        address: "https://127.0.0.1:8070/authz/v1/traefik"\n'
    service = '    gatepost:\n      loadBalancer:\n        servers:\n          - url: "http://127.0.0.1:8070"\n'
    return {
        asks: f"{within}        tls:\n          ca: {authority.certificate}\n{own}",
        "/authz/v1/blocked/put-the-key-here?": "/authz/v1/blocked?",
        service: service.replace("http:", "https:").replace(
            "lancer:\n", "lancer:\n        serversTransport: gatepost\n"
        ),
        "  services:\n": "  serversTransports:  # put-the-key-here\n    gatepost:\n"
        f"      rootCAs: [{authority.certificate}]\n{shown}  services:\n",
    }


def changes(name: str, authority: Authority, asker: Issued | None) -> dict[str, str]:
    """What docs/external-authorization.md says of a certificate in the place of the key."""
    if name == "traefik":
        return for_traefik(authority, asker)
    files = ""
    if asker:
        chain, key = (f"{{ filename: {file} }}" for file in (asker.certificate, asker.key))
        files = f"tls_certificates: [{{ certificate_chain: {chain}, private_key: {key} }}], "
    context = (
        '{ "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, '
        f"common_tls_context: {{ {files}alpn_protocols: [h2], "
        f"validation_context: {{ trusted_ca: {{ filename: {authority.certificate} }} }} }} }}"
    )
    named = "    - name: gatepost\n"
    socket_line = f"      transport_socket: {{ name: envoy.transport_sockets.tls, typed_config: {context} }}\n"
    return {KEY_LINES: NO_KEY, named: named + socket_line}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def secured(ground: Path) -> AsyncIterator[Secured]:
    home = ground / "known"
    home.mkdir()
    home.chmod(0o755)
    authority = Authority(home)
    async with asking(home, certificates_required=True) as gatepost, mailbox_server() as mailbox:
        gatepost.clean("anna@corp.example", "annaphone")
        gatepost.dirty("bert@corp.example", "bertphone")
        http, grpc = listening(), listening()
        files = {"client_ca": str(authority.certificate), "client_required": True}
        for_http = ServerTls(authority.issue().files(**files))
        for_grpc = ServerTls(authority.issue().files(alpn=("h2",), **files))
        ports = [each.getsockname()[1] for each in (http, grpc)]
        await gatepost.http_front(for_http).listen(http, for_http, secure=True)
        await (await gatepost.envoy_front(for_grpc)).listen(grpc, for_grpc, secure=True)
        yield Secured(gatepost, Asked(ports[0], envoy=ports[1]), authority, mailbox, home)


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@pytest.mark.parametrize("name", ["traefik", "envoy"])
async def test_a_certificate_in_the_place_of_a_key(secured: Secured, name: str) -> None:
    if reason := missing_web(name):
        pytest.skip(reason)
    async with secured.before(name, secured.authority.issue(name, client=True), name) as before:
        assert (await before.ask(request(ANNA, FOLDER_SYNC, user="anna"))).body == b"mail for anna"
        assert (await before.ask(request(BERT, FOLDER_SYNC, user="bert"))).body == BLOCKED
    reached = len(secured.mailbox.received)
    async with secured.before(name, None, f"{name}-stranger") as stranger:
        for target, user in ((ANNA, "anna"), (BERT, "bert")):
            answer = await stranger.ask(request(target, FOLDER_SYNC, user=user))
            assert answer.status == 503
    unasked = [each for each in secured.mailbox.received[reached:] if "autodiscover" not in each.target]
    assert unasked == []


async def test_what_envoy_is_told_besides(secured: Secured) -> None:
    """Facts for the mail server in the place of what a client calls so, and the reason for Envoy's own log."""
    if reason := missing_web("envoy"):
        pytest.skip(reason)
    async with secured.before("envoy", secured.authority.issue("envoy", client=True), "told") as before:
        forged = {"X_Gatepost_User": "boss", "X_Gatepost_Reason": "exempt", "X_Gatepost_Other": "x"}
        assert (await before.ask(request(ANNA, FOLDER_SYNC, user="anna", **forged))).status == 200
        await before.ask(request(BERT, FOLDER_SYNC, user="bert"))
        received = secured.mailbox.received[-1]
        said = {name: value for name, value in received.headers if name.startswith("x-gatepost-")}
        assert int(said.pop("x-gatepost-valid-until")) > secured.gatepost.now()
        assert said == {
            "x-gatepost-verdict": "allow",
            "x-gatepost-reason": "clean",
            "x-gatepost-user": "anna@corp.example",
            "x-gatepost-identity": "device_id",
        }
        async with asyncio.timeout(20):
            # Its log is written every ten seconds, or at its end.
            await asyncio.to_thread(before.child.stop)
        text = before.child.log.read_text()
        assert f"{ANNA} 200 clean\n" in text
        assert f"{BERT} 200 banned_app\n" in text
        # Nothing of the example is what Envoy will not take one day.
        assert "eprecated" not in text
