"""Mail devices: who has which, what they are bound to, and an administrator's word on it."""

import json
from datetime import datetime
from typing import Annotated, Literal, Protocol

import structlog
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from gateway.admin import bold_bindings
from gateway.admin.api.deps import ApiDeps, Deps, Editing, Viewing
from gateway.admin.api.moments import shown, surely_shown
from gateway.admin.api.operators import propose
from gateway.admin.api.problems import not_found
from gateway.admin.api.views import Reason, look_told
from gateway.admin.api.why import EvidenceOut, evidence_out
from gateway.admin.auth import Operator
from gateway.admin.operators import other_approvers
from gateway.domain.audit import Subject
from gateway.domain.change import GuardedAction
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord
from gateway.domain.identity import canonical_login, device_named
from gateway.domain.inventory import Ownership, Platform
from gateway.inventory.consequences import person_id_of
from gateway.inventory.ingest import Forgotten
from gateway.ports.store import MailDevice, PinnedBinding, Writing

log = structlog.get_logger()
router = APIRouter(tags=["devices"])


class DeviceLine(BaseModel):
    """One mail device in one line."""

    user: str
    device: str
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    device_type: str
    user_agent: str
    protocol_version: str
    client_address: str


class DeviceList(BaseModel):
    """A page of mail devices, ordered by user and device."""

    devices: list[DeviceLine]
    next_after: str | None = Field(description="give it as `after` for the next page; null at the end")


class PinOut(BaseModel):
    """An administrator's word that a mail device is, or is never, an inventory device."""

    source: str
    source_device: str
    bound: bool
    author: str
    at: datetime


class PinIn(BaseModel, extra="forbid"):
    """An administrator's word on one pair."""

    source: str = Field(min_length=1, max_length=200)
    source_device: str = Field(min_length=1, max_length=400)
    bound: bool = Field(description="false: never bound, whatever the ids say")


class DeviceOut(DeviceLine):
    """One device with its evidence."""

    binding: BindingState
    platform: Platform | None
    ownership: Ownership
    evidence: list[EvidenceOut]
    tombstones: int
    pins: list[PinOut]
    stated: dict[str, str] = Field(description="what the device says of itself; never trusted")


class ActionWaits(BaseModel):
    """It is not done: it may free a banned phone, and a second person has to approve it first."""

    change: int
    sentence: str = Field(description="why, and what to do")


class DeviceForgotten(BaseModel):
    """What was forgotten of a device."""

    user: str
    device: str
    inventories: int = Field(description="inventory devices behind it")
    tombstones: int = Field(description="hits that had outlived their evidence")


class UserDevices(BaseModel):
    """All devices of one user."""

    user: str
    person: str
    known: bool
    groups: list[str]
    devices: list[DeviceOut]
    without_mail: list[EvidenceOut] = Field(
        description="inventory devices of the user that no mail device is known for"
    )


@router.get("/devices")
async def list_devices(
    deps: Deps,
    operator: Viewing,
    after: Annotated[str, Query(max_length=400, description="next_after of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> DeviceList:
    """Mail devices that were seen, page by page."""
    person_id, _, device_id = after.rpartition("/")
    async with deps.store.read() as reading:
        page = await reading.all_mail_devices((person_id, device_id), limit)
    last = f"{page[-1].person_id}/{page[-1].device_id}" if len(page) == limit else None
    return DeviceList(
        devices=[DeviceLine.model_validate(_line(seen.person_id, seen.device_id, seen)) for seen in page],
        next_after=last,
    )


@router.get("/devices/{user}")
async def devices_of_user(user: str, deps: Deps, operator: Viewing, reason: Reason = "") -> UserDevices:
    """All devices of one user, with bindings and evidence. The look is audited."""
    found = await _all_of(deps, canonical_login(user, deps.rules))
    await look_told(deps, operator.name, Subject(found.person), "devices", reason=reason.strip())
    return found


async def _all_of(deps: Deps, login: str) -> UserDevices:
    record, seen, pins = await _read(deps, login)
    ids = dict.fromkeys([*seen, *record.devices, *(pin.device_id for pin in pins)])
    return UserDevices(
        user=login,
        person=record.person_id,
        known=record.known,
        groups=sorted(record.groups),
        devices=[_device(record, device_id, seen.get(device_id), pins) for device_id in ids],
        without_mail=[evidence_out(source) for device in record.unbound for source in device.sources],
    )


@router.get("/devices/{user}/{device}")
async def show_device(user: str, device: str, deps: Deps, operator: Viewing, reason: Reason = "") -> DeviceOut:
    """One device of one user. The look is audited."""
    found = await _one_of(deps, canonical_login(user, deps.rules), device_named(device))
    await look_told(deps, operator.name, Subject(found.user, found.device), "device", reason=reason.strip())
    return found


async def _one_of(deps: Deps, login: str, device_id: str) -> DeviceOut:
    record, seen, pins = await _read(deps, login)
    if device_id not in {*seen, *record.devices, *(pin.device_id for pin in pins)}:
        raise not_found(f"{login} has no device {device_id}: see the devices of the user")
    return _device(record, device_id, seen.get(device_id), pins)


@router.delete("/devices/{user}")
async def forget_without_mail(
    user: str,
    deps: Deps,
    operator: Editing,
    response: Response,
    without_mail: Annotated[Literal["true"], Query(description="these only: said so that nobody means all devices")],
) -> DeviceForgotten | ActionWaits:
    """Forget the inventory devices of a user that no mail device is known for, and their hits (202: with a yes)."""
    login = canonical_login(user, deps.rules)
    record, _, _ = await _read(deps, login)
    return await _forget(deps, operator, record.person_id, "", response)


@router.delete("/devices/{user}/{device}")
async def forget_device(
    user: str, device: str, deps: Deps, operator: Editing, response: Response
) -> DeviceForgotten | ActionWaits:
    """Forget all that is known of a device; what comes later is taken as new. With an open hit it takes two (202)."""
    login, device_id = canonical_login(user, deps.rules), device_named(device)
    record, seen, _ = await _read(deps, login)
    if device_id not in seen and device_id not in record.devices:
        raise not_found(f"{login} has no device {device_id}: see the devices of the user")
    return await _forget(deps, operator, record.person_id, device_id, response)


async def _forget(
    deps: ApiDeps, operator: Operator, person_id: str, device_id: str, response: Response
) -> DeviceForgotten | ActionWaits:
    async def work(writing: Writing) -> Forgotten | str:
        bold = await deps.bindings.why_bold_to_forget(writing, person_id, device_id)
        if bold and await other_approvers(writing, operator.name):
            return bold
        return await deps.ingest.forget_within(writing, person_id, device_id, operator.name, alone=bool(bold))

    forgotten, changes = await deps.store.write(work)
    await deps.publish(changes)
    if isinstance(forgotten, str):
        what = f"device {device_id} of {person_id}" if device_id else f"what {person_id} has without a mail device"
        action = bold_bindings.forget_action(person_id, device_id)
        return await _wait(deps, operator, action, f"forget {what}", forgotten, response)
    counts = {"inventories": forgotten.inventories, "tombstones": forgotten.tombstones}
    log.info("device_forgotten", login=person_id, device=device_id, author=operator.name, **counts)
    return DeviceForgotten(user=person_id, device=device_id, **counts)


@router.put("/devices/{user}/{device}/pins")
async def pin_device(
    user: str, device: str, given: PinIn, deps: Deps, operator: Editing, response: Response
) -> DeviceOut | ActionWaits:
    """Say that a mail device is, or is never, an inventory device. What may free a banned phone takes two (202)."""
    pin = await _pin_of(deps, user, device, given, operator.name)
    if bold := await _done_unless_bold(deps, pin, deps.bindings.put):
        what = f"{'bind' if pin.bound else 'never bind'} device {pin.device_id} of {pin.person_id} to {_source_of(pin)}"
        return await _wait(deps, operator, bold_bindings.pin_action(pin), what, bold, response)
    log.info("device_pinned", author=operator.name, **_named(pin), bound=pin.bound)
    return await _one_of(deps, canonical_login(user, deps.rules), device_named(device))


@router.delete("/devices/{user}/{device}/pins")
async def unpin_device(
    user: str,
    device: str,
    source: Annotated[str, Query(min_length=1, max_length=200)],
    source_device: Annotated[str, Query(min_length=1, max_length=400)],
    deps: Deps,
    operator: Editing,
    response: Response,
) -> UserDevices | ActionWaits:
    """Take that word back: the ids decide again. With an open hit it takes two (202)."""
    given = PinIn(source=source, source_device=source_device, bound=False)
    pin = await _pin_of(deps, user, device, given, operator.name)
    if bold := await _done_unless_bold(deps, pin, deps.bindings.remove):
        what = f"bind device {pin.device_id} of {pin.person_id} by its ids again, not by hand to {_source_of(pin)}"
        return await _wait(deps, operator, bold_bindings.unpin_action(pin), what, bold, response)
    log.info("device_unpinned", author=operator.name, **_named(pin))
    return await _all_of(deps, canonical_login(user, deps.rules))


class _Say(Protocol):
    """``Bindings.put`` or ``Bindings.remove``."""

    async def __call__(self, writing: Writing, pin: PinnedBinding, *, alone: bool = False) -> None: ...


async def _done_unless_bold(deps: ApiDeps, pin: PinnedBinding, say: _Say) -> str:
    """Do it; or, where it is bold and somebody could approve it, leave it and say why it waits."""

    async def work(writing: Writing) -> str:
        bold = await deps.bindings.why_bold(writing, pin)
        if bold and await other_approvers(writing, pin.author):
            return bold
        await say(writing, pin, alone=bool(bold))
        return ""

    bold, changes = await deps.store.write(work)
    await deps.publish(changes)
    return bold


async def _wait(
    deps: ApiDeps, operator: Operator, action: GuardedAction, title: str, why: str, response: Response
) -> ActionWaits:
    # Why stands in the answer only: a change is shown to many who may see nobody's apps.
    number, sentence = await propose(deps, operator, action, title)
    response.status_code = 202
    return ActionWaits(change=number, sentence=f"{why}: {sentence}")


def _source_of(pin: PinnedBinding) -> str:
    return f"{pin.source_device} of source {pin.source_id}"


async def _pin_of(deps: Deps, user: str, device: str, given: PinIn, author: str) -> PinnedBinding:
    login, device_id = canonical_login(user, deps.rules), device_named(device)
    async with deps.store.read() as reading:
        person_id = await person_id_of(reading, login)
    return PinnedBinding(person_id, device_id, given.source, given.source_device, given.bound, author, deps.now())


def _named(pin: PinnedBinding) -> dict[str, str]:
    return {
        "login": pin.person_id,
        "device": pin.device_id,
        "source": pin.source_id,
        "source_device": pin.source_device,
    }


async def _read(deps: Deps, login: str) -> tuple[PersonRecord, dict[str, MailDevice], list[PinnedBinding]]:
    async with deps.store.read() as reading:
        record = await deps.load_record(reading, login)
        seen = {device.device_id: device for device in await reading.mail_devices(record.person_id)}
        pins = list(await reading.pins_of_person(record.person_id))
    return record, seen, pins


def _device(record: PersonRecord, device_id: str, seen: MailDevice | None, pins: list[PinnedBinding]) -> DeviceOut:
    evidence = record.devices.get(device_id, DeviceEvidence(device_id, BindingState.UNMATCHED))
    return DeviceOut.model_validate(
        {
            **_line(record.person_id, device_id, seen),
            "binding": evidence.binding,
            "platform": evidence.platform,
            "ownership": evidence.ownership,
            "evidence": [evidence_out(source) for source in evidence.sources],
            "tombstones": len(evidence.tombstones),
            "pins": [_pin(pin) for pin in pins if pin.device_id == device_id],
            "stated": _stated(seen.device_information if seen else ""),
        }
    )


def _line(person_id: str, device_id: str, seen: MailDevice | None) -> dict[str, object]:
    return {
        "user": person_id,
        "device": device_id,
        "first_seen_at": shown(seen.first_seen_at) if seen else None,
        "last_seen_at": shown(seen.last_seen_at) if seen else None,
        "device_type": seen.device_type if seen else "",
        "user_agent": seen.user_agent if seen else "",
        "protocol_version": seen.protocol_version if seen else "",
        "client_address": seen.client_address if seen else "",
    }


def _pin(pin: PinnedBinding) -> PinOut:
    return PinOut(
        source=pin.source_id,
        source_device=pin.source_device,
        bound=pin.bound,
        author=pin.author,
        at=surely_shown(pin.at),
    )


def _stated(text: str) -> dict[str, str]:
    try:
        fields = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in fields.items()} if isinstance(fields, dict) else {}
