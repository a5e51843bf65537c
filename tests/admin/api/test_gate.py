"""The gate: nobody without a token, no more than a viewer may, bodies within bounds; errors as problems."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.admin.api.gate import BodyLimits
from gateway.admin.auth import FAILURES_ALLOWED
from gateway.domain.operator import Role
from gateway.ports.store import StoreUnavailable
from gateway.storage.memory import MemoryStore
from gateway.storage.sql import open_store
from tests.support.control import Control

LIMITS = BodyLimits()
EVERY_GET = ["/status", "/why?user=a", "/bans", "/flags", "/exemptions", "/tokens", "/policies"]


@pytest.mark.parametrize("path", EVERY_GET)
async def test_nobody_without_a_token(api: httpx.AsyncClient, path: str) -> None:
    refused = await api.get(path, headers={"Authorization": ""})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json() == {
        "type": "urn:gatepost:problem:not_authenticated",
        "title": "Unauthorized",
        "status": 401,
        "detail": "send the header Authorization: Bearer TOKEN with an operator's token",
    }


async def test_a_stranger_is_turned_away_before_the_body_is_read(control: Control) -> None:
    asked = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal asked
        asked = True
        yield b"{}"

    async with await control.client() as api:
        refused = await api.post("/bans", content=body(), headers={"Authorization": "Bearer gpt_wrong"})
    assert refused.status_code == 401
    assert not asked


async def test_too_many_failures_wait(api: httpx.AsyncClient) -> None:
    for _ in range(FAILURES_ALLOWED):
        assert (await api.get("/bans", headers={"Authorization": "Bearer gpt_wrong"})).status_code == 401
    held = await api.get("/bans", headers={"Authorization": "Bearer gpt_wrong"})
    assert held.status_code == 429
    assert 0 < int(held.headers["retry-after"]) <= 61
    assert "try again in" in held.json()["detail"]


async def test_an_approver_sees_and_does_not_edit(control: Control) -> None:
    async with await control.client("eve", exactly=Role.APPROVER) as api:
        for path in EVERY_GET:
            assert (await api.get(path)).status_code == 200
        refused = await api.put("/flags/grace", json={"days": 1, "new_devices": 1})
        assert refused.status_code == 403
        assert refused.json()["detail"] == "eve may not edit the policy: this needs the role editor"
        assert (await api.get("/policies")).json()["policies"][0]["number"] == 1


async def test_every_changing_route_refuses_a_viewer(control: Control) -> None:
    async with await control.client("eve", Role.VIEWER) as api:
        document = (await api.get("/openapi.json")).json()
        changing = [
            (method, path.removeprefix("/api/v1"))
            for path, methods in document["paths"].items()
            for method in methods
            if path.startswith("/api/") and method != "get"
        ]
        assert len(changing) >= 10
        for method, path in changing:
            # A body that is no good either: who may not change is told that first or last, never let through.
            answer = await api.request(method, path.replace("{", "").replace("}", ""), json={})
            own_tokens = path.startswith("/tokens")
            assert answer.status_code in (404, 422) if own_tokens else (403,), (method, path)
    assert not [change for change in control.published if change.version != 1]


async def test_a_body_that_is_too_long_is_refused(api: httpx.AsyncClient) -> None:
    announced = await api.post("/bans", content=b"x" * (LIMITS.longest_bytes + 1))
    assert announced.status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(LIMITS.longest_bytes // 65536 + 2):
            yield b" " * 65536

    streamed = await api.post("/bans", content=endless(), headers={"Content-Type": "application/json"})
    assert streamed.status_code == 413
    assert streamed.json()["detail"] == "a request to the API has at most 8388608 octets: send it in pieces"


@pytest.mark.parametrize("believed", [0.0, 1_000.0])
async def test_a_token_is_looked_at_again_when_its_body_took_long(control: Control, believed: float) -> None:
    """Whoever holds a stolen one would hold requests open, and end them after it was revoked."""
    control.limits = BodyLimits(believed_seconds=believed)
    async with await control.client() as api, await control.client("olga") as olga:
        (stolen,) = [each for each in (await api.get("/tokens")).json()["tokens"] if each["operator"] == "olga"]

        async def slow() -> AsyncIterator[bytes]:
            yield b'{"name": "kiosks", '
            assert (await api.delete(f"/tokens/{stolen['id']}")).status_code == 200
            yield b'"devices": "kiosk-*"}'

        late = await olga.post("/sources", content=slow(), headers={"Content-Type": "application/json"})
        sources = (await api.get("/sources")).json()["sources"]
    if believed:
        # It has come within its time.
        assert (late.status_code, len(sources)) == (201, 1)
        return
    assert (late.status_code, late.json()["type"]) == (401, "urn:gatepost:problem:not_authenticated")
    assert sources == []


async def test_roles_that_were_taken_while_the_body_came_are_gone(control: Control) -> None:
    control.limits = BodyLimits(believed_seconds=0.0)
    async with await control.client() as api, await control.client("olga", exactly=Role.OPERATOR) as olga:

        async def slow() -> AsyncIterator[bytes]:
            yield b'{"name": "kiosks", '
            await control.token("olga", exactly=Role.VIEWER)
            yield b'"devices": "kiosk-*"}'

        late = await olga.post("/sources", content=slow(), headers={"Content-Type": "application/json"})
        assert (late.status_code, (await api.get("/sources")).json()["sources"]) == (403, [])


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"\xff", b'{"on": NaN}'])
async def test_a_body_that_is_no_json_is_refused(api: httpx.AsyncClient, body: bytes) -> None:
    refused = await api.put("/flags/global", content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code in (400, 422)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"]


BEYOND = 1 << 70
ALL_BEYOND = [
    *(("POST", f"/changes/{BEYOND}/{act}", {}) for act in ("preview", "apply", "halt", "withdraw", "reject")),
    ("POST", f"/changes/{BEYOND}/approve", {"digest": "x" * 12}),
    ("GET", f"/changes/{BEYOND}", None),
    ("GET", f"/changes/{BEYOND}/telling", None),
    ("GET", f"/policies/{BEYOND}", None),
    ("GET", f"/notices?change={BEYOND}", None),
    ("GET", f"/notices/{BEYOND}?reason=x", None),
    ("POST", f"/notices/{BEYOND}", {"kind": "cut"}),
    ("GET", f"/audit/entries?after={BEYOND}", None),
    ("GET", "/audit/entries?since=0001-01-01T00:00:00%2B14:00", None),
    ("GET", "/audit/entries?until=9999-12-31T23:59:59-14:00", None),
    ("GET", "/why?user=a&at=0001-01-01T00:00:00%2B14:00", None),
    ("POST", "/exemptions", {"user": "a", "reason": "x", "ends_at": "9999-12-31T23:59:59-14:00"}),
]


async def test_numbers_and_moments_beyond_all_measure_are_refused_in_words(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path / 'gatepost.db'}", writable=True)
    async with await Control(store=store).client() as api:
        for method, path, body in ALL_BEYOND:
            refused = await api.request(method, path, json=body)
            assert refused.status_code in (404, 422), (path, refused.text)
        assert (await api.get("/audit/entries?until=9999-12-31T23:59:59Z")).status_code == 200
        deep = await api.post("/changes", content=b"[" * 200_000, headers={"Content-Type": "application/json"})
        assert deep.status_code in (400, 422)
    await store.close()


async def test_an_address_where_nothing_is(api: httpx.AsyncClient) -> None:
    nothing = await api.get("/nothing")
    assert (nothing.status_code, nothing.json()["type"]) == (404, "urn:gatepost:problem:not_found")
    wrong = await api.post("/status")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "urn:gatepost:problem:method_not_allowed")


async def test_a_store_that_is_away_is_said(api: httpx.AsyncClient, control: Control) -> None:
    assert isinstance(control.store, MemoryStore)
    control.store.unavailable = "disk full"
    away = await api.get("/bans")
    assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    assert "disk full" not in away.text


async def test_an_operator_is_told_why_the_store_takes_no_edit(
    api: httpx.AsyncClient, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(work: object) -> object:
        raise StoreUnavailable("the disk that holds the database is full: make room")

    monkeypatch.setattr(control.store, "write", full)
    refused = await api.put("/flags/global", json={"on": False})
    assert refused.status_code == 503
    sentence = "the store cannot do that now: the disk that holds the database is full: make room"
    assert refused.json()["detail"] == sentence


async def test_a_failure_of_ours_tells_nothing_of_the_inside(control: Control) -> None:
    def broken() -> dict[str, object]:
        raise RuntimeError("secret inside")

    api = control.api()
    object.__setattr__(api.state.deps, "status", broken)
    token = await control.token()
    async with await control.client() as client:
        client._transport = httpx.ASGITransport(api, raise_app_exceptions=False)
        failed = await client.get("/status", headers={"Authorization": f"Bearer {token}"})
    assert failed.status_code == 500
    assert failed.json()["type"] == "urn:gatepost:problem:internal"
    assert "secret inside" not in failed.text


async def test_before_the_first_policy_the_api_says_so(control: Control) -> None:
    token = await control.token()
    transport = httpx.ASGITransport(control.api())
    async with httpx.AsyncClient(transport=transport, base_url="http://gatepost/api/v1") as api:
        early = await api.get("/bans", headers={"Authorization": f"Bearer {token}"})
    assert (early.status_code, early.json()["type"]) == (503, "urn:gatepost:problem:no_policy")
