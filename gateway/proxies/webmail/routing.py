"""Who answers a request for another way to mail by HTTP; what is not open for its client does not exist."""

from typing import TYPE_CHECKING

from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.webmail.paths import Discovery, Places, Rule
from gateway.protocols.webmail.refusals import found_at
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.exchange import Exchange
from gateway.proxies.simple import Answered
from gateway.proxies.webmail.bound_routing import BoundRouting
from gateway.proxies.webmail.exposure import Exposure, Network, Opened, WebmailSettings

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront


class Webmail:
    """One per front."""

    def __init__(self, front: "HttpFront", settings: WebmailSettings, trusted: list[Network]) -> None:
        self._front = front
        self._exposure = Exposure(settings, trusted)
        self._places = Places(settings.dav_paths, settings.jmap_paths)
        self.bound = BoundRouting(front, self._places, trusted)
        self._dav_at = settings.dav_paths[0] + "/" if settings.dav_paths else ""

    def exchange_for(self, client: ClientConnection, head: RequestHead) -> Exchange | None:
        """Who answers; None: nothing is served there, for this client."""
        place = self._places.of(head.path)
        if place is None:
            return None
        rule = Rule.DAV if isinstance(place, Discovery) else place
        opened = self._exposure.opened(rule, self._front.client_address(client, head), client.certificate)
        if opened is Opened.CLOSED:
            return None
        if isinstance(place, Discovery):
            return Answered(client, found_at(self._dav_at)) if self._dav_at else None
        return self.bound.exchange_for(client, head, place, judged=opened is Opened.JUDGED)
