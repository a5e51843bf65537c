"""A reload of Caddy, by its example, while phones wait."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.live.askers.servers import missing, start_caddy
from tests.live.askers.switch import Switch
from tests.live.askers.test_web import ANNA, request
from tests.live.children import free_ports, run
from tests.support.phone_certificates import Certificates
from tests.support.raw_http import Client, eas
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import PING_CHANGES, mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.skipif(bool(missing("caddy")), reason=missing("caddy"))
async def test_a_reload_ends_no_waiting_request(ground: Path, http_switch: Switch, made: Certificates) -> None:
    directory, (listen,) = ground / "caddy-reload", free_ports(1)
    async with mailbox_server() as mailbox:
        mail = urlsplit(mailbox.url).port or 0
        child = start_caddy(directory, listen=listen, gatepost=http_switch.port, mail=mail, made=made)
        waiting = await Client.connected(f"https://localhost:{listen}", tls=made.trust())
        waiting.write(request(eas("Ping", "anna", "ANNAPHONE"), user="anna"))
        await mailbox.until_parked(1)

        config = directory / "Caddyfile"
        changed = config.read_text().replace("respond 404", "respond 404 {\n\t\tclose\n\t}")
        assert changed != config.read_text()
        config.write_text(changed)
        address = f"unix/{directory}/admin.sock"
        words = ("caddy", "reload", "--adapter", "caddyfile", "--config", str(config), "--address", address)
        await asyncio.to_thread(run, words, directory)

        other = await Client.connected(f"https://localhost:{listen}", tls=made.trust())
        assert (await other.ask(request(ANNA, FOLDER_SYNC, user="anna"))).status == 200
        mailbox.released.set()
        assert (await waiting.answer()).body == PING_CHANGES
        for client in (waiting, other):
            client.close()
        child.stop()
