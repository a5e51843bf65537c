"""One name is one operator on every store, however it is spelt, and whoever has been removed under it before."""

import httpx
import pytest

from gateway.domain.operator import NamedOperator, Role
from gateway.ports.store import Store, Writing
from tests.support.control import NOW, Control

BOTH_ORDERS = pytest.mark.parametrize(("before", "after"), [("ann", "Ann"), ("Ann", "ann")])
ROLES = ["approver", "editor"]


async def agreed(author: httpx.AsyncClient, approver: httpx.AsyncClient, number: int) -> httpx.Response:
    """The second person's yes, and then the step."""
    digest = (await author.get(f"/changes/{number}")).json()["digest"]
    said = await approver.post(f"/changes/{number}/approve", json={"digest": digest})
    return said if said.status_code != 200 else await author.post(f"/changes/{number}/apply")


async def done(author: httpx.AsyncClient, approver: httpx.AsyncClient, asked: httpx.Response) -> None:
    assert asked.status_code == 202, asked.text
    applied = await agreed(author, approver, asked.json()["change"])
    assert applied.status_code == 200, applied.text


async def make(author: httpx.AsyncClient, approver: httpx.AsyncClient, name: str) -> None:
    await done(author, approver, await author.post("/operators", json={"name": name, "roles": ROLES}))


async def present(api: httpx.AsyncClient) -> list[str]:
    return [each["name"].lower() for each in (await api.get("/operators")).json()["operators"]]


async def see_that_it_is_one_person(
    api: httpx.AsyncClient, bob: httpx.AsyncClient, control: Control, name: str
) -> None:
    """The operator of that name is listed, works, approves, and can be removed for good."""
    async with await control.client(name) as ann:
        assert (await ann.get("/bans")).status_code == 200
        assert (await present(api)).count("ann") == 1
        assert (await api.post("/operators", json={"name": name, "roles": ROLES})).status_code == 409
        asked = await api.post("/operators", json={"name": "vera", "roles": ["viewer"]})
        await done(api, ann, asked)
        await done(api, bob, await api.delete(f"/operators/{name}"))
        assert "ann" not in await present(api)
        assert (await ann.get("/bans")).status_code == 401
        tokens = (await api.get("/tokens")).json()["tokens"]
        assert [each["usable"] for each in tokens if each["operator"].lower() == "ann"] == [False]


@BOTH_ORDERS
async def test_who_comes_back_in_other_letters_is_an_operator_like_any_other(
    store: Store, before: str, after: str
) -> None:
    control = Control(store=store)
    async with await control.client("eva") as api:
        await api.post("/operators", json={"name": "bob", "roles": ROLES})
        async with await control.client("bob") as bob:
            await make(api, bob, before)
            await done(api, bob, await api.delete(f"/operators/{before}"))
            await make(api, bob, after)
            await see_that_it_is_one_person(api, bob, control, after)


@BOTH_ORDERS
async def test_rows_of_both_spellings_that_were_stored_before_are_one_operator(
    store: Store, before: str, after: str
) -> None:
    control = Control(store=store)

    async def as_it_was(writing: Writing) -> None:
        roles = frozenset({Role.APPROVER, Role.EDITOR})
        await writing.put_operator(NamedOperator(before, roles, created_at=NOW - 20, removed_at=NOW - 10))
        await writing.put_operator(NamedOperator(after, roles, created_at=NOW - 5))

    async with await control.client("eva") as api:
        await api.post("/operators", json={"name": "bob", "roles": ROLES})
        await store.write(as_it_was)
        async with await control.client("bob") as bob:
            await see_that_it_is_one_person(api, bob, control, after)


async def test_two_spellings_that_are_both_there_are_removed_together(store: Store) -> None:
    control = Control(store=store)

    async def as_it_was(writing: Writing) -> None:
        roles = frozenset({Role.APPROVER, Role.EDITOR})
        for number, name in enumerate(("Ann", "ann")):
            await writing.put_operator(NamedOperator(name, roles, created_at=NOW + number))

    async with await control.client("eva") as api:
        await api.post("/operators", json={"name": "bob", "roles": ROLES})
        await store.write(as_it_was)
        async with await control.client("bob") as bob:
            await see_that_it_is_one_person(api, bob, control, "ann")


@BOTH_ORDERS
async def test_what_the_earlier_one_made_or_agreed_to_makes_no_second_person(
    store: Store, before: str, after: str
) -> None:
    control = Control(store=store)
    async with await control.client("eva") as api:
        await api.post("/operators", json={"name": "bob", "roles": ROLES})
        async with await control.client("bob") as bob:
            await make(api, bob, before)
            async with await control.client(before) as ann:
                by_ann = (await ann.post("/operators", json={"name": "vera", "roles": ["viewer"]})).json()["change"]
                by_eva = (await api.post("/operators", json={"name": "will", "roles": ["viewer"]})).json()["change"]
                digest = (await api.get(f"/changes/{by_eva}")).json()["digest"]
                said = await ann.post(f"/changes/{by_eva}/approve", json={"digest": digest})
                assert said.status_code == 200
            await done(api, bob, await api.delete(f"/operators/{before}"))
            await make(api, bob, after)
            async with await control.client(after) as ann:
                refused = await api.post(f"/changes/{by_eva}/apply")
                assert refused.json()["type"] == "urn:gatepost:problem:needs_approval"
                own = await agreed(api, ann, by_ann)
                assert (own.status_code, "another person's approval" in own.json()["detail"]) == (422, True)
                assert (await agreed(api, ann, by_eva)).status_code == 200
