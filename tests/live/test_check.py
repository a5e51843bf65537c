"""``gatepost check`` before a real server: it is reached, and it can be asked whether a password is right."""

import json

import pytest

from tests.live.site import Site
from tests.support.running import Running

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("way", ["plain", "tls"])
async def test_the_server_is_found_fit(site: Site, gateway: Running, secure_gateway: Running, way: str) -> None:
    chosen, url = (gateway, site.plain) if way == "plain" else (secure_gateway, site.tls)
    rows = json.loads(await chosen.gatepost("check", "--json"))["checks"]
    (row,) = (row for row in rows if row["what"] == f"mail server {url.partition('://')[2]}")
    assert (row["state"], row["sentence"]) == ("ok", "answers; credentials can be checked by OPTIONS")
