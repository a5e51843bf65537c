"""The outbox in SQL."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import and_, bindparam, exists, func, or_, select, tuple_, update

from gateway.domain.notice import (
    CLAIMABLE,
    TOLD,
    WAITING,
    Mailing,
    MailingState,
    Notice,
    NoticeKind,
    NoticeState,
)
from gateway.ports.store import Conflict, StoreUnavailable
from gateway.storage.notices import (
    CHANGING,
    decode_mailing,
    encode_mailing,
    notice_of,
    notice_values,
    step_values,
)
from gateway.storage.rows import Unreadable
from gateway.storage.sql import schema as s
from gateway.storage.sql.dialects import insert_into
from gateway.storage.sql.rows import Rows

_M, _N, _C = s.notice_mailings.c, s.notices.c, s.notice_complaints.c
_ROWS_AT_ONCE = 200
"""In one question: databases bound the number of values."""

_MAILINGS = select(s.notice_mailings).order_by(_M.change.desc(), _M.kind).limit(bindparam("most"))
_MAILINGS_OF = _MAILINGS.where(_M.change == bindparam("wanted"))
_MAILINGS_IN = (
    select(s.notice_mailings)
    .where(_M.state.in_(bindparam("going", expanding=True)))
    .order_by(_M.change.desc(), _M.kind)
)
_MAILINGS_HAVING = _MAILINGS_IN.where(
    exists().where(_N.change == _M.change, _N.kind == _M.kind, _N.state.in_(bindparam("states", expanding=True)))
)
_MAILING = select(s.notice_mailings).where(_M.change == bindparam("wanted"), _M.kind == bindparam("of"))
_ADD_MAILING = s.notice_mailings.insert()
_MOVE_MAILING = (
    update(s.notice_mailings)
    .where(_M.change == bindparam("wanted"), _M.kind == bindparam("of"), _M.version == bindparam("known"))
    .values(state=bindparam("to"), version=bindparam("reached"), words=bindparam("why"), document=bindparam("content"))
)
_CANCEL = (
    update(s.notice_mailings)
    .where(
        _M.change == bindparam("wanted"),
        _M.kind.in_(bindparam("kinds", expanding=True)),
        _M.state != MailingState.CANCELLED.value,
    )
    .values(state=MailingState.CANCELLED.value, version=_M.version + 1, words=bindparam("why"))
)
_KEY = and_(_N.change == bindparam("wanted"), _N.kind == bindparam("of"))
_NOTICE = select(s.notices).where(_KEY, _N.person_id == bindparam("person"))
_ORDER = tuple_(_N.person_id, _N.kind)
_PAGE = (
    select(s.notices)
    .where(_N.change == bindparam("wanted"), tuple_(bindparam("person"), bindparam("of")) < _ORDER)
    .order_by(_N.person_id, _N.kind)
    .limit(bindparam("most"))
)
_IN_STATES = _N.state.in_(bindparam("states", expanding=True))
_NOTICES = _PAGE.where(_IN_STATES)
_TOLD = _PAGE.where(or_(_N.told, _IN_STATES))
_COUNTS = select(_N.state, func.count().label("notices")).where(_KEY).group_by(_N.state)
_PLANNED = (
    select(s.notices)
    .where(_KEY, _N.state == NoticeState.PLANNED.value)
    .order_by(_N.place, _N.person_id)
    .limit(bindparam("most"))
)
_BY_TIME = (
    select(s.notices)
    .where(_N.state.in_(bindparam("states", expanding=True)), _N.next_at <= bindparam("until"))
    .order_by(_N.next_at, _N.place)
    .limit(bindparam("most"))
)
_DUE = _BY_TIME.join(s.notice_mailings, and_(_M.change == _N.change, _M.kind == _N.kind)).where(
    _M.state.in_(bindparam("going", expanding=True))
)
_STEP = (
    update(s.notices)
    .where(_KEY, _N.person_id == bindparam("person"), _N.version == bindparam("known"))
    .values({name: bindparam(f"to_{name}") for name in CHANGING})
)
_WAITING_KEYS = (
    select(_N.person_id).where(_KEY, _N.state.in_(bindparam("states", expanding=True))).limit(bindparam("most"))
)
_SETTLE = (
    update(s.notices)
    .where(_KEY, _N.person_id.in_(_WAITING_KEYS.scalar_subquery()))
    .values(state=NoticeState.CANCELLED.value, version=_N.version + 1, next_at=0.0)
)
_COMPLAINTS = select(func.count()).where(_C.change == bindparam("wanted"), _C.at >= bindparam("since"))
_GOES_ON = [MailingState.PLANNING.value, MailingState.SENDING.value, MailingState.FINISHED.value]
"""While another wave of recipients is written down, what was released before goes on."""


@lru_cache(maxsize=4)
def _add_if_missing(name: str, dialect: str) -> Any:
    table = s.metadata.tables[name]
    insert = insert_into(table, dialect)
    return insert.on_conflict_do_nothing(index_elements=list(table.primary_key.columns))


def _names(states: Collection[NoticeState]) -> list[str]:
    return sorted(state.value for state in states)


class SqlNoticeReading:
    """``ports.notice_store.NoticeReading`` on one transaction."""

    _rows: Rows

    async def mailings(self, change: int | None = None, limit: int = 1000) -> Sequence[Mailing]:
        if change is None:
            found = await self._rows.all(_MAILINGS, {"most": limit})
        else:
            found = await self._rows.all(_MAILINGS_OF, {"wanted": change, "most": limit})
        return [_mailing(row) for row in found]

    async def mailings_in(
        self, states: Collection[MailingState], having: Collection[NoticeState] = ()
    ) -> Sequence[Mailing]:
        values: dict[str, object] = {"going": sorted(state.value for state in states)}
        if having:
            values["states"] = _names(having)
        found = await self._rows.all(_MAILINGS_HAVING if having else _MAILINGS_IN, values)
        return [_mailing(row) for row in found]

    async def mailing(self, change: int, kind: NoticeKind) -> Mailing | None:
        found = await self._rows.all(_MAILING, {"wanted": change, "of": kind.value})
        return _mailing(found[0]) if found else None

    async def notice(self, change: int, kind: NoticeKind, person_id: str) -> Notice | None:
        found = await self._rows.all(_NOTICE, {"wanted": change, "of": kind.value, "person": person_id})
        return _notice(found[0]) if found else None

    async def notices(
        self, change: int, states: Collection[NoticeState], after: tuple[str, str] = ("", ""), limit: int = 1000
    ) -> Sequence[Notice]:
        person, kind = after
        values = {"wanted": change, "states": _names(states), "person": person, "of": kind, "most": limit}
        return [_notice(row) for row in await self._rows.all(_NOTICES, values)]

    async def told_notices(self, change: int, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Sequence[Notice]:
        person, kind = after
        states = _names(TOLD | {NoticeState.TRANSMITTING})
        values = {"wanted": change, "states": states, "person": person, "of": kind, "most": limit}
        return [_notice(row) for row in await self._rows.all(_TOLD, values)]

    async def notice_counts(self, change: int, kind: NoticeKind) -> Mapping[NoticeState, int]:
        found = await self._rows.all(_COUNTS, {"wanted": change, "of": kind.value})
        return {NoticeState(row.state): row.notices for row in found}

    async def planned_notices(self, change: int, kind: NoticeKind, limit: int) -> Sequence[Notice]:
        found = await self._rows.all(_PLANNED, {"wanted": change, "of": kind.value, "most": limit})
        return [_notice(row) for row in found]

    async def due_notices(self, now: float, limit: int) -> Sequence[Notice]:
        values = {"states": _names(CLAIMABLE), "until": now, "most": limit, "going": _GOES_ON}
        return [_notice(row) for row in await self._rows.all(_DUE, values)]

    async def lost_notices(self, now: float, limit: int) -> Sequence[Notice]:
        values = {"states": [NoticeState.TRANSMITTING.value], "until": now, "most": limit}
        return [_notice(row) for row in await self._rows.all(_BY_TIME, values)]

    async def complaints(self, change: int, since: float = 0.0) -> int:
        ((found,),) = await self._rows.all(_COMPLAINTS, {"wanted": change, "since": since})
        return int(found)


class SqlNoticeWriting(SqlNoticeReading):
    """``ports.notice_store.NoticeWriting`` inside a savepoint of the shared transaction."""

    async def put_mailing(self, mailing: Mailing) -> None:
        known = await self.mailing(mailing.change, mailing.kind)
        if mailing.version != (known.version + 1 if known else 0):
            raise Conflict(f"the {mailing.kind} notices of change {mailing.change} changed meanwhile")
        named = {"state": mailing.state.value, "version": mailing.version, "words": mailing.words}
        if known is None:
            values = {"change": mailing.change, "kind": mailing.kind.value, "document": encode_mailing(mailing)}
            await self._rows.run(_ADD_MAILING, {**values, **named})
            return
        values = {
            "wanted": mailing.change,
            "of": mailing.kind.value,
            "known": known.version,
            "to": mailing.state.value,
            "reached": mailing.version,
            "why": mailing.words,
            "content": encode_mailing(mailing),
        }
        await self._rows.run(_MOVE_MAILING, values)

    async def add_notices(self, notices: Sequence[Notice]) -> None:
        statement = _add_if_missing(s.notices.name, self._rows.dialect)
        for begin in range(0, len(notices), _ROWS_AT_ONCE):
            await self._rows.run(statement, [notice_values(each) for each in notices[begin : begin + _ROWS_AT_ONCE]])

    async def put_notice(self, notice: Notice) -> bool:
        return bool(await self._rows.run(_STEP, _step_of(notice)))

    async def put_notices(self, notices: Sequence[Notice]) -> None:
        for begin in range(0, len(notices), _ROWS_AT_ONCE):
            await self._rows.run(_STEP, [_step_of(each) for each in notices[begin : begin + _ROWS_AT_ONCE]])

    async def cancel_mailings(self, change: int, kinds: Collection[NoticeKind], words: str) -> int:
        values = {"wanted": change, "kinds": sorted(kind.value for kind in kinds), "why": words}
        return await self._rows.run(_CANCEL, values)

    async def settle_cancelled(self, change: int, kind: NoticeKind, limit: int) -> int:
        values = {"wanted": change, "of": kind.value, "states": _names(WAITING), "most": limit}
        return await self._rows.run(_SETTLE, values)

    async def put_complaint(self, change: int, token: str, at: float) -> bool:
        statement = _add_if_missing(s.notice_complaints.name, self._rows.dialect)
        return bool(await self._rows.run(statement, {"change": change, "token": token, "at": at}))


def _step_of(notice: Notice) -> dict[str, object]:
    change, kind, person = notice.key
    values = {"wanted": change, "of": kind.value, "person": person, "known": notice.version - 1}
    return {**values, **{f"to_{name}": value for name, value in step_values(notice).items()}}


def _mailing(row: Any) -> Mailing:
    try:
        return decode_mailing(row.document, row.state, row.version, row.words)
    except Unreadable as error:
        raise StoreUnavailable(f"the store holds {error}") from error


def _notice(row: Any) -> Notice:
    values = dict(row._mapping)
    del values["person_id"]
    try:
        return notice_of(**values)
    except Unreadable as error:
        raise StoreUnavailable(f"the store holds {error}") from error
