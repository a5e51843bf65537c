"""What no database can hold or look for is refused in one clear sentence, by whatever way it comes."""

import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from gateway.ports.store import Unstorable
from gateway.storage.memory import MemoryStore
from gateway.storage.sql import open_store
from tests.storage.conftest import new_database, postgres
from tests.support.control import Control

__all__ = ["new_database", "postgres"]

LARGE = 99_999_999_999
NUL = "the character U+0000 stands in a text, and no text may hold it: leave it out"


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.live)])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    store = None
    if request.param == "postgres":
        database: Callable[[], str] = request.getfixturevalue("new_database")
        store = await open_store(database(), writable=True)
    async with await Control(store=store or MemoryStore()).client() as client:
        yield client
    if store is not None:
        await store.close()


@pytest.mark.parametrize("number", [1 << 31, LARGE, 10**40])
async def test_a_number_that_there_is_not(api: httpx.AsyncClient, number: int) -> None:
    for path in (f"/policies/{number}", f"/changes/{number}", f"/changes/{number}/telling"):
        answer = await api.get(path)
        assert (answer.status_code, str(number) in answer.json()["detail"]) == (404, True), (path, answer.text)
    for act in ("preview", "approve", "apply", "halt", "withdraw", "reject"):
        answer = await api.post(f"/changes/{number}/{act}", json={"digest": "d" * 64} if act == "approve" else {})
        assert answer.status_code == 422, (act, answer.text)
        assert answer.json()["detail"].startswith(f"there is no change {number}: ")
    for path in (f"/notices/{number}?reason=x", f"/notices?change={number}", f"/why?user=ann&policy={number}"):
        answer = await api.get(path)
        assert (answer.status_code, "less than 2147483648" in answer.text) == (422, True), (path, answer.text)
    assert (await api.get(f"/audit/entries?after={number + (1 << 63)}")).status_code == 422


ADDRESSES = (
    *(("GET", "/people?after=a%00"), ("GET", "/devices?after=a%00b"), ("GET", "/credentials?after=%00")),
    *(("GET", "/notices/1?after=a%00b&reason=x"), ("GET", "/bans/a%00"), ("GET", "/operators/a%00")),
    *(("GET", "/devices/a%00"), ("DELETE", "/exemptions/a%00"), ("DELETE", "/tokens/a%00")),
    *(("DELETE", "/sources/a%00"), ("DELETE", "/people/a%00?reason=x"), ("GET", "/why?user=a&device=%00")),
    ("DELETE", "/devices/a/b/pins?source=m&source_device=a%00"),
)


async def test_u_0000_in_an_address(api: httpx.AsyncClient) -> None:
    for method, path in ADDRESSES:
        answer = await api.request(method, path)
        assert (answer.status_code, answer.json()["detail"]) == (422, NUL), path


BODY = {"user": "ann", "source": "mdm", "source_device": "a\0b"}


async def test_u_0000_in_a_body(api: httpx.AsyncClient) -> None:
    answer = await api.post("/credentials", json=BODY)
    assert (answer.status_code, answer.json()["detail"]) == (422, NUL)
    # Behind another backslash it is none, and the request is looked at.
    answer = await api.post("/credentials", json=BODY | {"source_device": "a\\u0000b"})
    assert answer.status_code < 500
    assert answer.json()["detail"] != NUL


@pytest.mark.parametrize("coding", ["utf-16", "utf-32"])
async def test_u_0000_in_a_body_that_is_written_otherwise(api: httpx.AsyncClient, coding: str) -> None:
    octets = json.dumps(BODY).encode(coding)
    answer = await api.post("/credentials", content=octets, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text


async def test_what_only_the_database_finds_is_no_outage(control: Control) -> None:
    async with await control.client() as client:
        app = control.api()

        @app.get("/api/v1/refusing")
        async def refusing() -> None:
            raise Unstorable("the database cannot hold a value that it was given (DataError)")

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=client.base_url, headers=client.headers) as asking:
            answer = await asking.get("/refusing")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:gatepost:problem:invalid_value")
    assert "cannot be stored" in answer.json()["detail"]
