"""Workers that tell whom they have refused, as far as the control process marks them."""

from collections.abc import Sequence

from gateway.audit.effects import Effects, ToldEffects
from gateway.changes.cut_devices import CutMarks
from gateway.domain.audit import Subject
from gateway.domain.audit.entry import Value, moment_text
from gateway.domain.evidence import PersonRecord
from gateway.ports.store import Reading
from tests.changes.office import Office


async def refuse(
    office: Office, people: Sequence[int], event: str = "refused", not_noted: int = 0, by: str = "activesync"
) -> None:
    """What the control process does with the word of workers that these were refused."""
    version = (await office.policy()).number
    told: dict[str, Value] = {"event": event, "reason": "banned_app", "ban": "TikTok", "policy_version": version}
    told |= {"protocol": by, "happened_at": moment_text(office.now)}
    by_login = {each.person_id: each for each in office.records}

    async def load(reading: Reading, login: str) -> PersonRecord:
        return by_login[login]

    logins = [f"p{number}@corp.example" for number in people]
    effects = [Subject(login, next(iter(by_login[login].devices)), told) for login in logins]
    marked = await CutMarks(office.store, load, lambda: office.now).marked(effects)
    await Effects(office.store).take(ToldEffects(tuple(marked), not_noted))
