"""Notices of the version before, and what it writes beside this one: their state says whether somebody read them."""

from pathlib import Path

from sqlalchemy import create_engine, text

from gateway.domain.notice import NoticeKind, NoticeState, moved
from gateway.ports.store import Writing
from gateway.storage.sql import open_store
from gateway.storage.sql.migrating import migrate

ROW = text(
    "INSERT INTO notices (change, kind, person_id, place, state, version, next_at, attempts, message_id, answer, "
    "document, content) VALUES (7, 'cut', :name, 1, :state, 3, 0.0, 1, '<a@b>', '', :document, :content)"
)
DOCUMENT = '{"reader":{"person_id":"%s","address":"a@b.example","language":"en","time_zone":""}}'


def put(url: str, *names: str, to: str = "") -> None:
    """Notices as the version before writes them: its columns only. Their states are their names."""
    engine = create_engine(url)
    if to:
        with engine.connect() as connection:
            migrate(connection, to)
    with engine.begin() as connection:
        for name in names:
            values = {"name": name, "state": name, "document": DOCUMENT % name, "content": b""}
            connection.execute(ROW, values)
    engine.dispose()


async def test_their_state_says_so_and_the_next_step_marks_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gatepost.db'}"
    put(url, "due", "uncertain", "sent", to="0010")
    store = await open_store(url, writable=True)
    put(url, "bounced", "failed")
    async with store.read() as reading:
        told = {each.reader.person_id: each for each in await reading.told_notices(7)}
    assert list(told) == ["bounced", "sent", "uncertain"]
    assert not any(each.told for each in told.values())

    async def again(writing: Writing) -> None:
        assert await writing.put_notice(moved(told["uncertain"], NoticeState.DUE))

    await store.write(again)
    async with store.read() as reading:
        found = await reading.notice(7, NoticeKind.CUT, "uncertain")
        assert found is not None
        assert (found.state, found.told) == (NoticeState.DUE, True)
        assert len(await reading.told_notices(7)) == 3
    await store.close()
