"""Operators' tokens: who is let in, who is held up, and the first token of a fresh install."""

import stat
from pathlib import Path

import pytest

from gateway.admin.auth import (
    ADDRESSES_REMEMBERED,
    FAILURES_ALLOWED,
    Authenticator,
    FailureLimit,
    NotAuthenticated,
    Operator,
    digest_of,
    first_token,
    new_token,
    revoked,
)
from gateway.domain.errors import InvalidValue
from gateway.domain.operator import ALL_ROLES, VIEWERS_OF_OLD, NamedOperator, Role
from gateway.ports.store import OperatorToken, StoreUnavailable, Writing
from gateway.storage.memory import MemoryStore

NOW = 1_000_000.0


class Clock:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


async def keep(store: MemoryStore, token: OperatorToken) -> None:
    async def work(writing: Writing) -> None:
        await writing.put_token(token)

    await store.write(work)


async def desk(
    role: Role = Role.EDITOR, expires_at: float | None = None
) -> tuple[MemoryStore, str, OperatorToken, Clock, Authenticator]:
    store, clock = MemoryStore(), Clock()
    text, token = new_token("anna", role, NOW - 10, expires_at)
    await keep(store, token)
    return store, text, token, clock, Authenticator(store, lambda: NOW, clock)


async def test_a_token_tells_its_operator() -> None:
    _, text, token, _, door = await desk(Role.VIEWER)
    assert await door.authenticate(f"Bearer {text}", "192.0.2.1") == Operator("anna", VIEWERS_OF_OLD, token.id)
    assert await door.authenticate(f"bearer  {text} ", "192.0.2.1") == Operator("anna", VIEWERS_OF_OLD, token.id)


def test_only_a_digest_is_kept() -> None:
    text, token = new_token("anna", Role.EDITOR, NOW)
    assert text.startswith("gpt_")
    assert token.digest == digest_of(text)
    assert text not in repr(token)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer ä", "Bearer " + "x" * 600, "gpt_whatever"]
)
async def test_what_is_no_bearer_token_is_refused(header: str) -> None:
    *_, door = await desk()
    refused = await door.authenticate(header, "192.0.2.1")
    assert isinstance(refused, NotAuthenticated)
    assert "Bearer TOKEN" in refused.detail


async def test_a_wrong_a_revoked_and_an_expired_token_look_the_same() -> None:
    store, text, token, _, door = await desk()
    wrong = await door.authenticate("Bearer gpt_wrong", "192.0.2.1")
    await keep(store, revoked(token, NOW - 1))
    was_revoked = await door.authenticate(f"Bearer {text}", "192.0.2.1")
    _, late, _, _, other = await desk(expires_at=NOW - 1)
    assert wrong == was_revoked == await other.authenticate(f"Bearer {late}", "192.0.2.1")
    assert isinstance(wrong, NotAuthenticated)


async def test_failures_are_limited_by_address_and_a_known_token_is_not_held_up() -> None:
    _, text, _, clock, door = await desk()
    assert isinstance(await door.authenticate(f"Bearer {text}", "192.0.2.1"), Operator)
    for number in range(FAILURES_ALLOWED):
        refused = await door.authenticate(f"Bearer gpt_{number}", "192.0.2.1")
        assert isinstance(refused, NotAuthenticated)
        assert not refused.retry_after_seconds
    held = await door.authenticate("Bearer gpt_again", "192.0.2.1")
    assert isinstance(held, NotAuthenticated)
    assert 0 < held.retry_after_seconds <= 61
    assert isinstance(await door.authenticate(f"Bearer {text}", "192.0.2.1"), Operator)
    elsewhere = await door.authenticate("Bearer gpt_again", "192.0.2.2")
    assert isinstance(elsewhere, NotAuthenticated)
    assert not elsewhere.retry_after_seconds
    clock.now += 61
    again = await door.authenticate("Bearer gpt_again", "192.0.2.1")
    assert isinstance(again, NotAuthenticated)
    assert not again.retry_after_seconds


async def test_while_held_up_the_store_is_not_asked() -> None:
    store, _, _, _, door = await desk()
    for number in range(FAILURES_ALLOWED):
        await door.authenticate(f"Bearer gpt_{number}", "192.0.2.1")
    store.unavailable = "away"
    assert isinstance(await door.authenticate("Bearer gpt_x", "192.0.2.1"), NotAuthenticated)
    with pytest.raises(StoreUnavailable):
        await door.authenticate("Bearer gpt_x", "192.0.2.2")


def test_the_memory_of_failures_is_bounded() -> None:
    limit = FailureLimit(Clock())
    for number in range(ADDRESSES_REMEMBERED + 50):
        limit.failed(f"a{number}")
    assert len(limit._failures) == ADDRESSES_REMEMBERED


@pytest.mark.parametrize(("name", "expires_at"), [("", None), ("\x00", None), ("a" * 101, None), ("anna", NOW)])
def test_what_is_no_token_is_refused(name: str, expires_at: float | None) -> None:
    with pytest.raises(InvalidValue):
        new_token(name, Role.EDITOR, NOW, expires_at)


async def test_the_first_start_writes_a_token_that_works(tmp_path: Path) -> None:
    store = MemoryStore()
    path = await first_token(store, tmp_path / "var", NOW)
    assert path == tmp_path / "var" / "admin-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    operator = await Authenticator(store, lambda: NOW).authenticate(f"Bearer {path.read_text().strip()}", "::1")
    assert isinstance(operator, Operator)
    assert (operator.name, operator.roles, operator.first_start) == ("admin", ALL_ROLES, True)
    assert [each.name for each in path.parent.iterdir()] == ["admin-token"]


async def test_later_starts_write_nothing_while_an_editor_has_a_token(tmp_path: Path) -> None:
    store = MemoryStore()
    assert await first_token(store, tmp_path, NOW)
    (tmp_path / "admin-token").unlink()
    assert await first_token(store, tmp_path, NOW + 1) is None
    assert not (tmp_path / "admin-token").exists()


async def test_when_the_last_token_is_gone_a_start_writes_another(tmp_path: Path) -> None:
    store = MemoryStore()
    path = await first_token(store, tmp_path, NOW)
    assert path is not None
    old = path.read_text()
    async with store.read() as reading:
        token = (await reading.tokens())[0]
    await keep(store, revoked(token, NOW))
    viewer, stored = new_token("eve", Role.VIEWER, NOW)
    await keep(store, stored)
    assert await first_token(store, tmp_path, NOW + 1) == path
    assert path.read_text() not in (old, viewer)


async def test_a_first_operator_who_was_removed_in_other_letters_is_there_again(tmp_path: Path) -> None:
    store = MemoryStore()

    async def work(writing: Writing) -> None:
        await writing.put_operator(NamedOperator("Admin", ALL_ROLES, created_at=NOW - 2, removed_at=NOW - 1))

    await store.write(work)
    path = await first_token(store, tmp_path, NOW)
    assert path is not None
    operator = await Authenticator(store, lambda: NOW).authenticate(f"Bearer {path.read_text().strip()}", "::1")
    assert isinstance(operator, Operator)
    assert (operator.name, operator.first_start) == ("Admin", True)
    async with store.read() as reading:
        assert [(each.name, each.present) for each in await reading.operators()] == [("Admin", True)]


async def test_a_file_that_cannot_be_written_leaves_no_token_behind(tmp_path: Path) -> None:
    store = MemoryStore()
    (tmp_path / "var").write_text("a file where the directory should be")
    with pytest.raises(OSError, match="var"):
        await first_token(store, tmp_path / "var", NOW)
    async with store.read() as reading:
        assert not await reading.tokens()


def test_revoking_twice_keeps_the_first_moment() -> None:
    _, token = new_token("anna", Role.EDITOR, NOW)
    assert revoked(revoked(token, 5.0), 9.0).revoked_at == 5.0
