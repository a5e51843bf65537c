"""Published ban lists: which there are, what is in them, and a change that bans what one of them names."""

import secrets

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.admin.api.deps import Deps, Editing, Viewing, actor_of, policy_in_store
from gateway.admin.api.mistyped import group_warnings
from gateway.admin.api.problems import not_found
from gateway.admin.api.second_person import refusal_told
from gateway.changes.desk import NOTE_LONGEST, Wanted
from gateway.changes.edits import TEXT_LONGEST
from gateway.changes.presets.importing import ImportWanted, covering, import_preset
from gateway.changes.presets.reading import ListedApp, Preset, find_preset, presets
from gateway.domain.bans import Flag
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import Platform
from gateway.domain.policy import PolicyVersion

router = APIRouter(tags=["bans"])


class PresetLine(BaseModel):
    """A list in one line. ``android`` and ``ios`` count the apps recognised there."""

    name: str
    title: str
    dated: str
    apps: int
    android: int
    ios: int
    unrecognised: int = Field(description="apps that no confirmed id stands for: an import does not ban them")


class ListedAppOut(BaseModel):
    """An entry of a list."""

    app: str
    listed_as: str = Field(description="as the publisher spells it, where that differs")
    ids: list[str] = Field(description="seen in two public sources or more; empty: cannot be recognised")
    variants: list[str] = Field(description="further editions, banned on request")
    candidates: list[str] = Field(description="unconfirmed ids: check them by hand; an import never bans them")
    seen_in: list[str]
    note: str


class PresetOut(PresetLine):
    """A list with all its entries."""

    about: str
    sources: list[str]
    entries: list[ListedAppOut]


class PresetList(BaseModel):
    """All lists."""

    presets: list[PresetLine]


class ImportIn(BaseModel):
    """How a list becomes bans."""

    model_config = ConfigDict(extra="forbid")

    flag: Flag = Flag.REPORT_ONLY
    groups: list[str] = Field([], max_length=1000, description="only for members of one of these; empty: everybody")
    text: str = Field("", max_length=TEXT_LONGEST, description="for people who are refused: why, what to do")
    variants: bool = Field(False, description="ban lite and other editions, too")
    note: str = Field("", max_length=NOTE_LONGEST)


class BannedAlready(BaseModel):
    """An app that a ban recognises already."""

    app: str
    ban: str
    flag: Flag


class ImportOut(PresetLine):
    """What an import proposes. Nothing is in force before the change is applied."""

    change: int | None = Field(description="the previewed change; null: everything recognised is banned already")
    newly_cut: int = Field(description="devices; of the preview")
    newly_admitted: int
    refusal: str = Field(description="what would be said if it were applied now; empty: nothing stands in the way")
    already: list[BannedAlready]
    left_out: list[ListedAppOut] = Field(description="apps that cannot be recognised, with their candidates")
    warnings: list[str]


@router.get("/ban-presets")
async def list_presets(operator: Viewing) -> PresetList:
    """All lists that come with Gatepost."""
    return PresetList(presets=[PresetLine.model_validate(_line(each)) for each in presets().values()])


@router.get("/ban-presets/{name}")
async def show_preset(name: str, operator: Viewing) -> PresetOut:
    """One list with its sources and entries."""
    preset = _found(name)
    entries = [_entry(each) for each in preset.apps]
    return PresetOut.model_validate(
        {**_line(preset), "about": preset.about, "sources": list(preset.sources), "entries": entries}
    )


@router.post("/ban-presets/{name}/import", status_code=201)
async def propose_import(name: str, given: ImportIn, deps: Deps, operator: Editing) -> ImportOut:
    """A previewed change that bans what is recognised of a list; apply it like any other change."""
    preset = _found(name)
    wanted = ImportWanted(given.flag, frozenset(given.groups), given.text, given.variants)
    async with deps.store.read() as reading:
        warnings = await group_warnings(reading, sorted(wanted.groups))
        version = await policy_in_store(reading)
    edit = import_preset(preset, wanted, lambda: secrets.randbits(63))
    held = await deps.editor.plan(actor_of(operator), edit, Wanted(note=given.note))
    seen = held.found.seen if held else None
    async with deps.store.read() as reading:
        refusal = await refusal_told(reading, held.refused if held else None)
    return ImportOut.model_validate(
        {
            **_line(preset),
            "change": held.change.number if held else None,
            "refusal": refusal,
            "newly_cut": seen.newly_cut if seen else 0,
            "newly_admitted": seen.newly_admitted if seen else 0,
            "already": list(_already(preset, wanted, version)),
            "left_out": [_entry(each) for each in preset.unrecognised],
            "warnings": list(warnings),
        }
    )


def _found(name: str) -> Preset:
    try:
        return find_preset(name)
    except InvalidValue as error:
        raise not_found(str(error)) from None


def _line(preset: Preset) -> dict[str, object]:
    return {
        "name": preset.name,
        "title": preset.title,
        "dated": preset.dated,
        "apps": len(preset.apps),
        "android": preset.recognised_on(Platform.ANDROID),
        "ios": preset.recognised_on(Platform.IOS),
        "unrecognised": len(preset.unrecognised),
    }


def _entry(app: ListedApp) -> ListedAppOut:
    return ListedAppOut(
        app=app.app,
        listed_as=app.listed_as,
        ids=list(app.ids),
        variants=list(app.variants),
        candidates=list(app.candidates),
        seen_in=list(app.seen_in),
        note=app.note,
    )


def _already(preset: Preset, wanted: ImportWanted, version: PolicyVersion) -> list[BannedAlready]:
    found = ((each, covering(version.bans, each, wanted)) for each in preset.apps if each.ids)
    return [BannedAlready(app=each.app, ban=ban.name, flag=ban.flag) for each, ban in found if ban is not None]
