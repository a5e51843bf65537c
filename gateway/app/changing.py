"""Changes in the control process: the desk, who applies them, what comes by itself; and the [changes] section for them.

Settings are read at the start, like all of them.
"""

from collections.abc import Callable, Collection
from zoneinfo import ZoneInfo

from gateway.admin.operators import approval_stands, known_operators, logins_of, operators_count
from gateway.app.noticing import Noticing
from gateway.changes.apply import InForce, Publish
from gateway.changes.applying import Applier, Perform, Rules
from gateway.changes.desk import ChangeDesk
from gateway.changes.fleet_previews import FleetPreviews, FleetSettings, NamedSets
from gateway.changes.guards import GuardLimits
from gateway.changes.impact.figures import NamedSet
from gateway.changes.scheduling import Schedule
from gateway.changes.short_form import ShortForm
from gateway.domain.access import Protocol
from gateway.domain.freeze import freeze_span
from gateway.ports.store import Reading, Store
from gateway.settings import Settings

VIPS = "VIPs"
OPERATORS = "operators"


class Changing:
    """One per control process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        previews: FleetPreviews,
        in_force: InForce,
        publish: Publish,
        now: Callable[[], float],
        noticing: Noticing,
        perform: Perform,
    ) -> None:
        """``perform`` does what is no part of the policy and needs a second person."""
        rules = rules_of(settings)
        self.desk = ChangeDesk(
            store,
            previews,
            now,
            approval_seconds=settings.changes.approval_hours * 3600,
            operators=operators_count,
            rejected=noticing.withdrawn,
        )
        self.applier = Applier(
            store,
            previews,
            publish,
            in_force,
            now,
            rules=lambda: rules,
            perform=perform,
            withdrawn=noticing.withdrawn,
            telling=noticing.telling,
            stands=approval_stands,
            logins_of=logins_of,
        )
        self.schedule = Schedule(store, self.applier, now)
        self.editor = ShortForm(store, self.desk, self.applier, now)


def rules_of(settings: Settings) -> Rules:
    """Who may apply what."""
    told = settings.changes
    limits = GuardLimits(
        devices=told.most_devices,
        percent=told.most_percent,
        at_least=told.at_least,
        widest_percent=told.widest_percent,
        freeze=tuple(freeze_span(each) for each in told.freeze),
        freeze_zone=ZoneInfo(told.freeze_time_zone),
    )
    return Rules(limits, second_person=told.second_person)


def alone_of(rules: Rules) -> int | None:
    """How many devices one person may cut alone within a day; None: any number."""
    return rules.limits.devices if rules.second_person else None


def fleet_settings_of(settings: Settings) -> FleetSettings:
    """What previews look at."""
    return FleetSettings(settings.changes.widest_percent, ways_by_name(settings))


def ways_by_name(settings: Settings) -> frozenset[Protocol]:
    """The ways in that are open here and ask by a login alone. What an asker asks about is its own affair."""
    if settings.authz.listen or settings.haproxy.listen or settings.envoy.listen:
        return frozenset(Protocol) - {Protocol.ACTIVESYNC}
    mail = settings.webmail
    opened: dict[Protocol, object] = {
        Protocol.WEBMAIL: mail.ews or mail.mapi or mail.owa or mail.dav or mail.jmap,
        Protocol.IMAP: settings.imap.listen,
        Protocol.POP3: settings.pop3.listen,
        Protocol.SMTP: settings.smtp.listen or settings.postfix.listen,
    }
    return frozenset(protocol for protocol, there in opened.items() if there)


def named_of(settings: Settings) -> NamedSets:
    """Whom previews name among the cut: the VIPs, and the operators by the mail logins that are known of them."""
    group = settings.changes.vip_group

    async def named(reading: Reading) -> Collection[NamedSet]:
        logins = [login for each in await known_operators(reading) if each.present for login in each.logins]
        operators = (NamedSet(OPERATORS, logins=tuple(dict.fromkeys(logins))),) if logins else ()
        return (*((NamedSet(VIPS, group=group),) if group else ()), *operators)

    return named


def sentences_of(settings: Settings) -> list[str]:
    """Warnings for ``status``."""
    if settings.changes.second_person:
        return []
    return ["[changes] second_person is false: the guards stop nobody, one person alone may turn any number of devices"]
