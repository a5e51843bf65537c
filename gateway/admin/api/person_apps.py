"""The apps of a person, as the sources last listed them: personal data, shown with a reason and audited."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.admin.api.apps import AppOut, app_out
from gateway.admin.api.deps import Deps, Viewing
from gateway.admin.api.moments import GivenMoment, epoch, surely_shown
from gateway.admin.api.past_moment import moment_of
from gateway.admin.api.views import Reason, reason_given, view_told
from gateway.domain.audit import Subject
from gateway.domain.audit.entry import moment_text
from gateway.domain.evidence import DeviceEvidence
from gateway.domain.identity import canonical_login, device_named
from gateway.domain.inventory import Scope

router = APIRouter(tags=["devices"])


class AppList(BaseModel):
    """What one source last listed of one device."""

    device: str = Field(description="canonical DeviceId; empty: no mail device is known for it")
    source: str
    source_device: str
    scope: Scope
    reported_at: datetime
    apps: list[AppOut]


class UserApps(BaseModel):
    """The app lists of a user's devices."""

    user: str
    person: str
    at: datetime
    kept_since: datetime | None = Field(description="of a past moment: since when everything is known")
    lists: list[AppList]


@router.get("/apps/{user}")
async def apps_of_user(
    user: str,
    deps: Deps,
    operator: Viewing,
    device: Annotated[str, Query(max_length=100, description="only of this device")] = "",
    reason: Reason = "",
    at: Annotated[GivenMoment | None, Query(description="as of that moment")] = None,
) -> UserApps:
    """The apps on a user's devices. It takes a reason, and the look is audited before it is answered."""
    why = reason_given(reason, "the apps on somebody's device are personal")
    login, device_id = canonical_login(user, deps.rules), device_named(device) if device else ""
    async with deps.store.read() as reading:
        moment = await moment_of(reading, epoch(at), deps.now())
        record = await deps.load_record(moment.evidence, login)
    as_of = "" if moment.kept_since is None else moment_text(moment.at)
    subject = Subject(record.person_id, device_id)
    await view_told(deps, operator.name, (subject,), "apps", reason=why, as_of=as_of)
    shown = [each for each in (*record.devices.values(), *record.unbound) if device_id in ("", each.device_id)]
    return UserApps(
        user=login,
        person=record.person_id,
        at=surely_shown(moment.at),
        kept_since=None if moment.kept_since is None else surely_shown(moment.kept_since),
        lists=[each for found in shown for each in _lists(found)],
    )


def _lists(device: DeviceEvidence) -> list[AppList]:
    return [
        AppList(
            device=device.device_id,
            source=source.source_id,
            source_device=source.source_device,
            scope=source.scope,
            reported_at=surely_shown(source.generated_at),
            apps=[out for app in source.apps if (out := app_out(app)) is not None],
        )
        for source in device.sources
    ]
