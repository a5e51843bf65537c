"""The published ban lists: what is in the files, and what an import bans of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.changes import edits
from gateway.changes.presets.importing import ImportWanted, covering, import_preset
from gateway.changes.presets.reading import Preset, find_preset, presets, read_preset
from gateway.domain.bans import Ban, Flag
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import App, Platform, folded_id
from gateway.domain.matching import compiled
from gateway.domain.policy import PolicyVersion, first_policy

INDIA = "india-2020-06-29"
WANTED = ImportWanted()


def imported(preset: Preset, wanted: ImportWanted = WANTED, *bans: Ban) -> PolicyVersion:
    """The policy after an import into one with these bans."""
    seeds = iter(range(1, 1000))
    return import_preset(preset, wanted, lambda: next(seeds))(replace(first_policy(0.0), bans=bans))


def test_india_is_recognised_as_far_as_ids_are_known() -> None:
    india = find_preset(" India-2020-06-29")
    assert len(india.apps) == 59
    assert (india.recognised_on(Platform.ANDROID), india.recognised_on(Platform.IOS)) == (44, 11)
    assert len(india.unrecognised) == 15
    assert {"DU Privacy", "QQ Launcher", "WeSync"} <= {each.app for each in india.unrecognised}


def test_all_lists_and_their_sizes() -> None:
    assert {name: (len(each.apps), len(each.unrecognised)) for name, each in presets().items()} == {
        "amazon-2020-07-10": (1, 0),
        "bytedance-family-optional": (3, 0),
        "canada-government-mobile": (3, 0),
        INDIA: (59, 15),
        "texas-additions-2026-01-26": (5, 1),
        "texas-prohibited-2025-01-31": (18, 4),
        "us-federal-tiktok": (1, 0),
    }


@pytest.mark.parametrize("name", list(presets()))
def test_an_import_bans_each_confirmed_id_and_no_candidate(name: str) -> None:
    preset = find_preset(name)
    version = imported(preset)
    index = compiled(version.bans)

    def banned(written: str) -> list[str]:
        platform, _, app_id = written.partition(":")
        return [ban.name for ban in index.bans_of(App(Platform(platform), app_id))]

    assert all(banned(each) for app in preset.apps for each in app.ids)
    confirmed = {written for app in preset.apps for written in app.ids}
    unconfirmed = {each for app in preset.apps for each in (*app.candidates, *app.variants)} - confirmed
    assert [each for each in unconfirmed if banned(each)] == []
    assert {ban.flag for ban in version.bans} == {Flag.REPORT_ONLY}
    assert {ban.labels["preset"] for ban in version.bans} == {name}
    seeds = {ban.seed for ban in version.bans}
    assert len(seeds) == len(version.bans)
    assert 0 not in seeds


def test_apple_ids_in_another_case_are_recognised_and_packages_are_not() -> None:
    index = compiled(imported(find_preset("texas-additions-2026-01-26")).bans)
    assert folded_id(Platform.IOS, "Zzkko.Com.zzkko") == folded_id(Platform.IOS, "zzkko.com.ZZKKO")
    assert index.bans_of(App(Platform.IOS, "ZZKKO.com.zzkko"))
    assert not index.bans_of(App(Platform.ANDROID, "com.ZZKKO"))


def test_other_editions_are_banned_on_request_only() -> None:
    lite = App(Platform.ANDROID, "com.zhiliaoapp.musically.go")
    assert not compiled(imported(find_preset("us-federal-tiktok")).bans).bans_of(lite)
    assert compiled(imported(find_preset("us-federal-tiktok"), replace(WANTED, variants=True)).bans).bans_of(lite)


def test_the_summary_says_how_many_of_how_many() -> None:
    summary = imported(find_preset(INDIA), ImportWanted(Flag.ENFORCE)).summary
    assert summary == f"44 bans of the 59 apps of preset {INDIA} added, enforce"


def test_a_second_import_changes_nothing() -> None:
    once = imported(find_preset(INDIA))
    assert imported(find_preset(INDIA), WANTED, *once.bans).bans == once.bans


@pytest.mark.parametrize(
    "narrower",
    [
        lambda ban: replace(ban, groups=frozenset({"sales"})),
        lambda ban: replace(ban, ends_at=5.0),
        lambda ban: replace(ban, exceptions=ban.matchers[:1]),
        lambda ban: replace(ban, matchers=ban.matchers[:1]),
        lambda ban: replace(ban, matchers=tuple(replace(each, below_version="4") for each in ban.matchers)),
    ],
)
def test_a_ban_that_covers_less_stays_beside_the_new_one(narrower: Callable[[Ban], Ban]) -> None:
    preset = find_preset("us-federal-tiktok")
    (whole,) = imported(preset).bans
    assert covering((whole,), preset.apps[0], WANTED) == whole
    old = narrower(whole)
    both = imported(preset, WANTED, old).bans
    assert [ban.name for ban in both] == ["TikTok", "TikTok (us-federal-tiktok)"]
    assert both[0] == old


def test_two_names_that_are_taken_are_told() -> None:
    preset = find_preset("us-federal-tiktok")
    (whole,) = imported(preset).bans
    old = [replace(whole, name=name, groups=frozenset({"x"})) for name in ("TikTok", "TikTok (us-federal-tiktok)")]
    with pytest.raises(InvalidValue, match="remove one of them first"):
        imported(preset, WANTED, *old)


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(InvalidValue, match=f"there is no preset 'nowhere'; there are: .*{INDIA}"):
        find_preset("nowhere")


GOOD = {"name": "x", "title": "X", "dated": "", "about": "", "sources": ["somewhere"], "apps": []}
APP = {"app": "A", "ids": ["android:com.a"], "seen_in": ["here", "there"]}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"apps": [{**APP, "confirmed": "yes"}]}, "confirmed"),
        ({"apps": [{**APP, "seen_in": []}]}, "no source for it"),
        ({"apps": [{**APP, "ids": ["com.a"]}]}, "no preset"),
        ({"apps": [{**APP, "ids": ["windows:com.a"]}]}, "as android:"),
        ({"apps": [{**APP, "candidates": ["android:com.a"]}]}, "each id once"),
        ({"apps": [APP, APP]}, "each app once"),
        ({"sources": []}, "needs a source"),
        ({"sources": [1]}, "neither text nor"),
    ],
)
def test_a_damaged_list_is_no_list(damage: dict[str, Any], words: str) -> None:
    assert read_preset(json.dumps({**GOOD, "apps": [APP]})).apps[0].ids == ("android:com.a",)
    with pytest.raises(ValueError, match=words):
        read_preset(json.dumps({**GOOD, **damage}))


def test_a_ban_of_an_import_is_a_ban_like_any_other() -> None:
    version = imported(find_preset("amazon-2020-07-10"))
    assert edits.set_flag(version, "tiktok", Flag.ENFORCE).bans[0].flag is Flag.ENFORCE
