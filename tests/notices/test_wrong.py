"""The page behind a notice's link: looking at it counts nothing, the button counts once, and strangers get nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.domain.notice import NoticeKind
from gateway.notices.signing import LINK_SECONDS, path_of
from gateway.notices.wrong import PageLimits, WrongPage
from gateway.ports.store import Store, StoreUnavailable
from gateway.storage.memory import MemoryStore
from tests.notices.stage import KEY, NOON, Clock, composer

ANN, BOB = "ann@corp.example", "bob@corp.example"


class Site:
    """The page over a store in memory."""

    def __init__(self, limits: PageLimits = PageLimits()) -> None:  # noqa: B008
        self.store: Store = MemoryStore()
        self.clock = Clock()
        self.outcomes: list[str] = []
        self.pace = 0.0
        self.page = WrongPage(self.store, composer(), self.clock, limits, self.outcomes.append, lambda: self.pace)

    def client(self, address: str = "192.0.2.7") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.page, client=(address, 4711))
        return httpx.AsyncClient(transport=transport, base_url="https://mail-access.corp.example")

    async def audited(self) -> list[object]:
        async with self.store.read() as reading:
            entries = [json.loads(each.entry) for each in await reading.audit_entries()]
        assert {each["kind"] for each in entries} <= {"notice"}
        assert not any("subjects" in each for each in entries)
        return [each["details"] for each in entries]

    async def complaints(self, change: int = 7) -> int:
        async with self.store.read() as reading:
            return await reading.complaints(change)


def link(person: str = ANN, kind: NoticeKind = NoticeKind.WARNING, language: str = "en") -> str:
    return path_of(KEY, 7, kind, language, person, NOON + LINK_SECONDS)


@pytest.fixture
async def site() -> Site:
    return Site()


@pytest.fixture
async def reader(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with site.client() as client:
        yield client


async def test_a_scanner_that_fetches_the_link_counts_nothing(site: Site, reader: httpx.AsyncClient) -> None:
    for ask in (reader.get, reader.head):
        answer = await ask(link())
        assert answer.status_code == 200
    assert await site.complaints() == 0
    assert (await reader.head(link())).content == b""


async def test_the_button_counts_once_for_each_person_and_change(site: Site, reader: httpx.AsyncClient) -> None:
    for kind in (NoticeKind.WARNING, NoticeKind.WARNING, NoticeKind.CUT):
        answer = await reader.post(link(kind=kind))
        assert (answer.status_code, "noted" in answer.text) == (200, True)
    assert await site.complaints() == 1
    await reader.post(link(BOB))
    assert await site.complaints() == 2
    assert site.outcomes == ["counted", "repeated", "repeated", "counted"]
    told = await site.audited()
    assert told == [{"change": 7, "kind": "warning", "act": "called wrong"}] * 2


@pytest.mark.parametrize(("language", "words"), [("de", "Drücken Sie"), ("en", "Press the button"), ("es", "Pulse")])
async def test_it_speaks_the_language_of_the_notice(reader: httpx.AsyncClient, language: str, words: str) -> None:
    answer = await reader.get(link(language=language), headers={"Accept-Language": "fr"})
    assert words in answer.text
    assert "GP-7" in answer.text


async def test_nobodys_name_is_in_the_link_or_on_the_page(reader: httpx.AsyncClient) -> None:
    answer = await reader.get(link())
    assert "ann" not in link().split(".")
    assert "ann@" not in answer.text + link()


@pytest.mark.parametrize(
    "path",
    ["/", "/n/", "/n/7.warning.en.x.1.y", "/n/" + "x" * 500, "/n/%C3%A9.x", "/n/..%2F..%2Fetc", "/api/v1/status"],
)
async def test_what_is_no_link_of_ours_counts_nothing_and_says_what_to_do(
    site: Site, reader: httpx.AsyncClient, path: str
) -> None:
    for answer in (await reader.get(path), await reader.post(path)):
        assert (answer.status_code, "<button" in answer.text) == (404, False)
        assert "no longer valid" in answer.text
    assert await site.complaints() == 0


async def test_a_changed_or_an_old_link_is_none(site: Site, reader: httpx.AsyncClient) -> None:
    assert (await reader.post(link().replace("/n/7.", "/n/8."))).status_code == 404
    site.clock.at += LINK_SECONDS
    assert (await reader.post(link())).status_code == 404
    assert (await site.complaints(), await site.complaints(8)) == (0, 0)


async def test_other_methods_are_refused(reader: httpx.AsyncClient) -> None:
    answer = await reader.put(link())
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


async def test_nothing_on_the_page_may_run_be_framed_or_be_kept(reader: httpx.AsyncClient) -> None:
    headers = (await reader.get(link())).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")


async def test_a_body_beyond_its_bound_is_refused_and_counts_nothing(site: Site, reader: httpx.AsyncClient) -> None:
    answer = await reader.post(link(), content=b"x" * 5_000)
    assert (answer.status_code, await site.complaints()) == (413, 0)
    assert (await reader.post(link(), data={"really": "yes"})).status_code == 200


async def test_a_body_that_does_not_come_ends() -> None:
    site = Site(PageLimits(body_seconds=0.05))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {"type": "http", "method": "POST", "path": link(), "client": ("192.0.2.7", 1)}
    await site.page(scope, receive, send)
    assert (sent[0]["status"], await site.complaints()) == (413, 0)


async def test_one_address_that_asks_too_often_waits_and_others_do_not() -> None:
    site = Site(PageLimits(per_minute=3, in_all_per_minute=100))
    async with site.client() as one, site.client("198.51.100.9") as other:
        assert [(await one.get(link())).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert (await one.post(link())).status_code == 429
        assert (await other.get(link())).status_code == 200
        site.pace += 20
        assert (await one.post(link())).status_code == 200


async def test_a_network_of_ipv6_is_one_address_and_all_together_are_bounded() -> None:
    site = Site(PageLimits(per_minute=2, in_all_per_minute=5))
    seen = []
    for number in range(4):
        async with site.client(f"2001:db8::{number}") as one:
            seen.append((await one.get(link())).status_code)
    assert seen == [200, 200, 429, 429]
    for number in range(4):
        async with site.client(f"192.0.2.{number}") as one:
            seen.append((await one.get(link())).status_code)
    assert seen[4:] == [200, 200, 200, 429]


async def test_where_the_store_is_away_the_reader_is_asked_to_come_back(site: Site) -> None:
    class Away(MemoryStore):
        async def write(self, work: Any) -> Any:
            raise StoreUnavailable("disk full")

    page = WrongPage(Away(), composer(), site.clock, count=site.outcomes.append)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(page), base_url="http://x") as reader:
        answer = await reader.post(link())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "disk" not in answer.text
    assert site.outcomes == ["not stored"]
