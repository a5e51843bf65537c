"""What the migration makes of tokens that are there, and what the version before can still write beside it."""

from hashlib import sha256
from pathlib import Path

from sqlalchemy import create_engine, text

from gateway.admin.auth import Authenticator, Operator
from gateway.admin.operators import known_operators
from gateway.domain.operator import EDITORS_OF_OLD, VIEWERS_OF_OLD
from gateway.storage.sql import open_store
from gateway.storage.sql.migrating import migrate

OLD = text("INSERT INTO tokens (id, operator, digest, created_at, role) VALUES (:id, :operator, :digest, :at, :role)")


def put(url: str, *rows: tuple[str, str, str], to: str = "") -> None:
    """Tokens as the version before writes them: its columns only."""
    engine = create_engine(url)
    if to:
        with engine.connect() as connection:
            migrate(connection, to)
    with engine.begin() as connection:
        for at, (name, operator, role) in enumerate(rows):
            values = {"id": name, "operator": operator, "digest": name * 32, "at": float(at), "role": role}
            connection.execute(OLD, values)
    engine.dispose()


async def test_tokens_get_operators_and_mean_what_they_meant(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gatepost.db'}"
    rows = (("t1", "admin", "editor"), ("t2", "vera", "viewer"), ("t3", "both", "viewer"), ("t4", "both", "editor"))
    put(url, *rows, to="0007")
    store = await open_store(url, writable=True)
    async with store.read() as reading:
        found = await reading.operators()
        tokens = {each.id: each for each in await reading.tokens()}
    assert [(each.name, each.roles, each.first_start) for each in found] == [
        ("admin", EDITORS_OF_OLD, True),
        ("both", EDITORS_OF_OLD, False),
        ("vera", VIEWERS_OF_OLD, False),
    ]
    assert (tokens["t3"].reach, tokens["t3"].role) == ("", "viewer")
    put(url, ("t5", "late", "editor"), ("t6", "vera", "editor"))
    async with store.read() as reading:
        later = {each.name: each.roles for each in await known_operators(reading)}
    assert (later["late"], later["vera"]) == (EDITORS_OF_OLD, VIEWERS_OF_OLD)
    await store.close()


async def test_a_viewers_token_of_an_editor_goes_on_to_look_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gatepost.db'}"
    put(url, ("t4", "both", "editor"), to="0007")
    engine = create_engine(url)
    with engine.begin() as connection:
        digest = sha256(b"gpt_x").hexdigest()
        connection.execute(OLD, {"id": "t9", "operator": "both", "digest": digest, "at": 9.0, "role": "viewer"})
    engine.dispose()
    store = await open_store(url, writable=True)
    asks = await Authenticator(store).authenticate("Bearer gpt_x", "192.0.2.1")
    await store.close()
    assert isinstance(asks, Operator)
    assert asks.roles == VIEWERS_OF_OLD
