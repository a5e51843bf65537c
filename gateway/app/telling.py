"""What notices are told of changes: whom a change cuts, what speaks against them, and what the site wants told.

The parts that bring notices know nothing of policies, and the index of the fleet nothing of notices: here they meet.
"""

from gateway.changes.newly_cut import Names, bans_about, newly_cut, see_that_it_has_a_preview
from gateway.changes.previews import NotReadyYet
from gateway.changes.telling import TellSettings
from gateway.changes.what_was_found import LoadRecord, findings_by
from gateway.domain.change import PolicyChange
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Tell
from gateway.notices.desk import About
from gateway.notices.recipients import NotNow, Wave
from gateway.ports.store import Reading, Store
from gateway.settings import Settings


class ChangeWaves:
    """``notices.recipients.Waves`` by the impact index and people's records."""

    def __init__(self, store: Store, names: Names, load_record: LoadRecord) -> None:
        self._store = store
        self._names = names
        self._load_record = load_record

    async def wave(self, change: int, wave: int) -> Wave:
        """See ``Waves``. Raises ``StoreUnavailable`` besides."""
        async with self._store.read() as reading:
            present, policy = await reading.policy_change(change), await reading.policy()
        if present is None or policy is None:
            raise InvalidValue(f"there is no change {change}: gatepost change list shows them")
        findings_of = findings_by(present, policy, self._load_record)
        try:
            found = await newly_cut(self._store, self._names, change, wave)
        except NotReadyYet as error:
            raise NotNow(str(error)) from None
        return Wave(found.people, findings_of, found.by_preview)


async def about(reading: Reading, change: PolicyChange) -> About:
    """What the notices of a change are about. Raises ``InvalidValue``: it has no preview, or is about no app."""
    see_that_it_has_a_preview(change)
    policy = await reading.policy()
    bans = bans_about(change, policy) if policy is not None else ()
    if not bans:
        raise InvalidValue(f"change {change.number} is about no app: there are no texts for that")
    return About(tuple(ban.name for ban in bans), next((ban.text for ban in bans if ban.text), ""))


def tell_settings_of(settings: Settings) -> TellSettings:
    """The [notices] section as changes take it."""
    told = settings.notices
    return TellSettings(
        tell=Tell(told.tell),
        sends=bool(told.sender),
        warned_seconds=told.warned_hours * 3_600,
        hold_seconds=told.hold_seconds,
        expires_seconds=told.expires_seconds,
    )
