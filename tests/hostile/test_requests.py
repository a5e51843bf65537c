"""Every hostile request, in every shape: what is answered is exact, and nothing ambiguous reaches the mail server.

The shapes are: alone; with an innocent request behind it; octet by octet; in two pieces at several places. The answers
must be the same in all of them, the innocent request must get its own, and the mail server must have received exactly
the requests that were understood, as h11 and httptools read them.
"""

import pytest

from tests.hostile.case import INNOCENT, SYNC, TARGET, Case
from tests.hostile.catalogue import THEMES
from tests.hostile.hostile_client import HostileClient
from tests.hostile.receiving import Reached, Receiver, receiver
from tests.support.fronted import Fronted, fronted, settled, until

BERTS = Reached(b"POST", TARGET % b"bert", b"bert", SYNC)
LATER_SECONDS = 200.0
"""Longer than any time that a client is given."""
PIECES_FROM = 4000
"""Octets: what is longer comes in larger pieces than octets."""


class Bench:
    """One case before one gateway."""

    def __init__(self, case: Case, gateway: Fronted, server: Receiver) -> None:
        self.case = case
        self.gateway = gateway
        self.server = server

    async def alone(self) -> None:
        """The octets alone, as one piece; another request on the same connection when it stays."""
        await self._warm_up()
        client = await self._client()
        client.send(self.case.octets)
        stays = await self._answers(client, self.case.gets)
        if stays:
            client.send(INNOCENT)
            assert await client.answer() == (200, b"mail for bert")
        await self._ends(client, self._bodies(self.case.bodies), stays=stays)

    async def followed(self, *pieces: bytes) -> None:
        """In pieces, an innocent request right behind."""
        case = self.case
        client = await self._client()
        await client.send_in(*pieces)
        stays = await self._answers(client, case.behind or case.gets)
        if stays and not case.behind:
            assert await client.answer() == (200, b"mail for bert")
        bodies = self._bodies(case.bodies_behind if case.behind else case.bodies)
        await self._ends(client, bodies, stays=stays and not case.behind)

    async def _client(self) -> HostileClient:
        self.server.reached.clear()
        self.server.wrong.clear()
        return await HostileClient.connected(self.gateway.url)

    async def _warm_up(self) -> None:
        """Leave a connection to the mail server idle: only then is the short way open."""
        client = await self._client()
        client.send(INNOCENT)
        assert await client.answer() == (200, b"mail for bert")
        await client.close()

    async def _answers(self, client: HostileClient, gets: str) -> bool:
        """Read what the case says; whether the connection stays."""
        for word in gets.split():
            if word == "close":
                assert await client.answer() == (0, b""), "the connection ends and nothing more is answered"
                return False
            if word == "waits":
                await self._pass_time(client)
                continue
            status, _, method = word.partition("/")
            answered = await client.answer(method or "POST")
            assert answered[0] == int(status), answered
        return True

    async def _pass_time(self, client: HostileClient) -> None:
        front = self.gateway.front
        await until(lambda: any(not each._answered or each._buffer for each in front._connections))
        await settled()
        assert client.silent
        self.gateway.clock.ahead += LATER_SECONDS
        front.sweep()

    def _bodies(self, bodies: tuple[bytes, ...]) -> list[Reached]:
        return [Reached(b"POST", self.case.target or TARGET % b"anna", b"anna", body) for body in bodies]

    async def _ends(self, client: HostileClient, expected: list[Reached], *, stays: bool) -> None:
        if stays:
            expected = [*expected, BERTS]
            await settled()
            assert client.silent, "no answer too many"
        await client.close()
        await until(lambda: not self.gateway.front._connections)
        assert self.server.reached == expected
        assert self.server.wrong == []


def in_pieces(octets: bytes) -> list[bytes]:
    """Octet by octet, or in as many pieces as are bearable."""
    size = 1 + len(octets) // PIECES_FROM
    return [octets[at : at + size] for at in range(0, len(octets), size)]


def cuts(case: Case) -> list[int]:
    """Places at which the octets are cut in two: each is one at which a reader may change its mind."""
    octets, end = case.octets, case.octets.find(b"\r\n\r\n")
    line_end = octets.find(b"\r\n")
    places = {
        line_end,
        line_end + 1,
        end + 1,
        end + 2,
        end + 3,
        end + 4,
        len(octets) // 2,
        len(octets) - 1,
        len(octets),
    }
    return sorted(place for place in places if 0 < place <= len(octets))


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{theme}: {case.name}") for theme, cases in THEMES.items() for case in cases]
)
async def test_a_hostile_request(case: Case) -> None:
    async with receiver() as server, fronted(server.url) as gateway:
        for login in (b"anna", b"bert", b"boss"):
            gateway.clean(login.decode(), "phone1")
            await gateway.known(login.decode())
        bench = Bench(case, gateway, server)
        await bench.alone()
        whole = case.octets + INNOCENT
        await bench.followed(whole)
        await bench.followed(*in_pieces(whole))
        for place in cuts(case):
            await bench.followed(whole[:place], whole[place:])
