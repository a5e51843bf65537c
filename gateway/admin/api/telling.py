"""Whom a change would tell by itself: how many, in which languages, and how many have no address."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.admin.api.deps import Deps, Viewing
from gateway.admin.api.problems import not_found
from gateway.changes.newly_cut import newly_cut
from gateway.domain.notice import Tell
from gateway.notices.addresses import address_of
from gateway.notices.desk import NoticeDesk
from gateway.ports.store import Reading

router = APIRouter(tags=["changes"])

PAGE = 500


class TellingOut(BaseModel):
    """Whom a change tells, by its newest preview."""

    change: int
    tell: Tell
    warned_seconds: float = Field(description="of warning-first: from the warning to the cut")
    people: int = Field(description="who get a notice")
    languages: dict[str, int] = Field(description="these people by the language of their notice")
    without_address: int = Field(description="who are told nothing, unknown logins among them")


@router.get("/changes/{number}/telling")
async def telling_of_change(number: int, deps: Deps, operator: Viewing) -> TellingOut:
    """Whom a change with a preview would tell. Of a whole fleet it takes some seconds."""
    async with deps.store.read() as reading:
        change = await reading.policy_change(number) if 0 < number < 2**31 else None
    if change is None:
        raise not_found(f"there is no change {number}: see the list of them")
    tell, desk = deps.telling.how(change), deps.notices
    if desk is None or deps.names is None or change.preview is None or not change.preview.newly_cut:
        return _out(number, Tell.NEVER if desk is None else tell, deps.telling.warned_seconds, Counter(), 0)
    people = (await newly_cut(deps.store, deps.names, number)).people
    languages: Counter[str] = Counter()
    for first in range(0, len(people), PAGE):
        languages += await deps.store.read_at_once(partial(_languages, desk, people[first : first + PAGE]))
    return _out(number, tell, deps.telling.warned_seconds, languages, len(people) - languages.total())


async def _languages(desk: NoticeDesk, people: Sequence[str], reading: Reading) -> Counter[str]:
    known = await reading.people_named(people)
    return Counter(desk.language_for(person.language) for person in known if address_of(person))


def _out(number: int, tell: Tell, warned_seconds: float, languages: Counter[str], without: int) -> TellingOut:
    return TellingOut(
        change=number,
        tell=tell,
        warned_seconds=warned_seconds,
        people=languages.total(),
        languages=dict(languages.most_common()),
        without_address=without,
    )
