"""What takes one person when it is asked for takes two by the time it is done: it is looked at again, and refused.

The store commits somebody else's step between the look and the unit of work, as another request of that moment would.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import httpx
import pytest

from gateway.domain.operator import Role
from gateway.ports.store import Change, Writing
from gateway.storage.memory import MemoryStore
from tests.support.control import Control

T = TypeVar("T")
Step = Callable[[], Awaitable[httpx.Response]]


class Meanwhile(MemoryStore):
    """A store in which somebody else is quicker, once."""

    def __init__(self) -> None:
        super().__init__()
        self.quicker: Step | None = None
        self.answer: httpx.Response | None = None

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        step, self.quicker = self.quicker, None
        if step is not None:
            self.answer = await step()
        return await super().write(work)


@pytest.fixture
def store() -> Meanwhile:
    return Meanwhile()


@pytest.fixture
def control(store: Meanwhile) -> Control:
    return Control(store=store)


@pytest.fixture
async def bob(api: httpx.AsyncClient, control: Control) -> AsyncIterator[httpx.AsyncClient]:
    """An approver beside anna."""
    await api.post("/operators", json={"name": "bob", "roles": ["approver", "editor"]})
    async with await control.client("bob") as client:
        yield client


@pytest.fixture
async def roles(api: httpx.AsyncClient, bob: httpx.AsyncClient, control: Control) -> Step:
    """helen, of the help desk, becomes an approver: all but the last step of it is done."""
    await (await control.client("helen", exactly=Role.HELP_DESK)).aclose()
    number = (await api.put("/operators/helen/roles", json={"roles": ["help-desk", "approver"]})).json()["change"]
    digest = (await api.get(f"/changes/{number}")).json()["digest"]
    assert (await bob.post(f"/changes/{number}/approve", json={"digest": digest})).status_code == 200
    return lambda: api.post(f"/changes/{number}/apply")


def bearer(made: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {made.json()['token']}"}


async def good_tokens(api: httpx.AsyncClient, operator: str) -> list[str]:
    tokens = (await api.get("/tokens")).json()["tokens"]
    return [each["id"] for each in tokens if each["operator"] == operator and each["usable"]]


async def test_no_token_of_an_approver_by_asking_while_the_role_comes(
    api: httpx.AsyncClient, store: Meanwhile, roles: Step
) -> None:
    """Its author would hold a second person's."""
    early = await api.post("/tokens", json={"operator": "helen"})
    assert early.status_code == 201
    store.quicker = roles
    refused = await api.post("/tokens", json={"operator": "helen"})
    assert store.answer is not None
    assert store.answer.status_code == 200
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "the roles of helen were changed meanwhile: ask for the token again",
    )
    assert await good_tokens(api, "helen") == []
    assert (await api.get("/bans", headers=bearer(early))).status_code == 401
    assert (await api.post("/tokens", json={"operator": "helen"})).status_code == 202


async def test_nor_with_a_token_that_was_made_in_that_name(
    api: httpx.AsyncClient, store: Meanwhile, roles: Step
) -> None:
    held = bearer(await api.post("/tokens", json={"operator": "helen"}))
    store.quicker = roles
    refused = await api.post("/tokens", json={"operator": "helen"}, headers=held)
    assert (refused.status_code, "was revoked meanwhile" in refused.json()["detail"]) == (409, True)
    assert await good_tokens(api, "helen") == []


async def test_one_that_only_looks_is_made_all_the_same(api: httpx.AsyncClient, store: Meanwhile, roles: Step) -> None:
    store.quicker = roles
    made = await api.post("/tokens", json={"operator": "helen", "role": "viewer"})
    assert (made.status_code, made.json()["roles"]) == (201, ["viewer"])
    assert made.json()["id"] in await good_tokens(api, "helen")


async def test_a_revoked_token_leaves_none_behind(
    api: httpx.AsyncClient, bob: httpx.AsyncClient, store: Meanwhile
) -> None:
    """It is revoked because it was stolen, and the thief is asking for another one just then."""
    (stolen,) = await good_tokens(api, "bob")
    store.quicker = lambda: api.delete(f"/tokens/{stolen}")
    assert (await bob.post("/tokens", json={"operator": "bob"})).status_code == 409
    assert await good_tokens(api, "bob") == []


async def test_an_approver_is_not_removed_by_one_person_by_asking_before_the_role_comes(
    api: httpx.AsyncClient, store: Meanwhile, roles: Step
) -> None:
    store.quicker = roles
    refused = await api.delete("/operators/helen")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "helen may approve since a moment ago: do it again, and a second person has to agree",
    )
    assert (await api.get("/operators/helen")).json()["removed_at"] is None
    assert (await api.delete("/operators/helen")).status_code == 202


async def test_roles_are_not_said_by_one_person_on_what_they_were_before(
    api: httpx.AsyncClient, store: Meanwhile, roles: Step
) -> None:
    store.quicker = roles
    refused = await api.put("/operators/helen/roles", json={"roles": ["help-desk"]})
    assert refused.status_code == 409
    assert (await api.get("/operators/helen")).json()["roles"] == ["approver", "help-desk"]
