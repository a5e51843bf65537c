"""Nothing is kept of a login that was a connection's, however it ended; no garbage collector has to look for it."""

import pytest

from gateway.network.owned_upstream import OwnedUpstream
from gateway.network.upstream_connection import UpstreamConnection
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.webmail.bound_login import BoundLogin
from tests.proxies.webmail.bound_site import challenged, logged_in, post
from tests.support.fronted import Fronted, until
from tests.support.kept import kept
from tests.support.scripted_origin import Origin


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("at", ["challenge", "rest", "request"])
async def test_nothing_is_kept_of_a_login_that_has_ended(who: str, at: str, judging: Fronted, origin: Origin) -> None:
    client, connection = await (challenged if at == "challenge" else logged_in)(judging, origin)
    if at == "request":
        client.write(post())
        await connection.request()
    if who == "server":
        connection.close()
        assert at == "challenge" or (await client.answer()).status in (0, 503)
    client.close()
    await until(lambda: not judging.front.admission.connections)
    await until(lambda: kept(OwnedUpstream, BoundLogin, ClientConnection, UpstreamConnection) == [])
