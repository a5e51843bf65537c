"""The [changes] section reaches the guards and the previews as it is written."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.app.changing import OPERATORS, VIPS, fleet_settings_of, named_of, rules_of, sentences_of
from gateway.changes.applying import Rules
from gateway.changes.impact.figures import NamedSet
from gateway.domain.access import Protocol
from gateway.domain.freeze import opens_at
from gateway.domain.operator import NamedOperator, Role
from gateway.ports.store import Writing
from gateway.settings import Settings, SettingsInvalid, load_settings
from gateway.storage.memory import MemoryStore


def settings(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "gatepost.toml"
    file.write_text(f"[changes]\n{text}")
    return load_settings(file, {})


def test_as_it_comes_the_limits_are_those_of_the_guards() -> None:
    assert rules_of(Settings()) == Rules(rules_of(Settings()).limits, second_person=True)
    limits = rules_of(Settings()).limits
    assert (limits.devices, limits.percent, limits.at_least, limits.widest_percent) == (50, 1.0, 5, 20.0)
    assert limits.freeze == ()


def test_what_is_written_is_what_counts(tmp_path: Path) -> None:
    told = settings(
        tmp_path,
        "second_person = false\nmost_devices = 7\nmost_percent = 0.5\nat_least = 2\nwidest_percent = 30\n",
    )
    rules = rules_of(told)
    assert not rules.second_person
    assert "the guards stop nobody" in sentences_of(told)[0]
    assert sentences_of(Settings()) == []
    assert (rules.limits.devices, rules.limits.percent, rules.limits.at_least) == (7, 0.5, 2)
    assert rules.limits.widest_percent == fleet_settings_of(told).widest_percent == 30


def test_freeze_hours_are_in_their_time_zone(tmp_path: Path) -> None:
    told = settings(tmp_path, 'freeze = ["fri 16:00 - mon 07:00"]\nfreeze_time_zone = "Europe/Madrid"\n')
    limits = rules_of(told).limits
    friday = datetime(2026, 11, 27, 15, 30, tzinfo=UTC).timestamp()
    monday = datetime(2026, 11, 30, 6, 0, tzinfo=UTC).timestamp()
    assert opens_at(limits.freeze, limits.freeze_zone, friday) == monday
    assert opens_at(limits.freeze, UTC, friday) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('freeze = ["weekend"]', "is no span of the week: write it like fri 16:00 - mon 07:00"),
        ('freeze_time_zone = "Madrid"', "is no time zone known here: write one like Europe/Madrid"),
        ('freeze_time_zone = "../etc"', "is no time zone known here"),
        ("most_percent = 101", "[changes] most_percent"),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings(tmp_path, text)
    assert sentence in str(caught.value)


async def test_previews_name_the_vip_group(tmp_path: Path) -> None:
    async with MemoryStore().read() as reading:
        assert await named_of(Settings())(reading) == ()
        assert await named_of(settings(tmp_path, 'vip_group = "board"'))(reading) == (NamedSet(VIPS, group="board"),)


async def test_previews_name_the_operators_by_their_mail_logins() -> None:
    store = MemoryStore()

    async def work(writing: Writing) -> None:
        await writing.put_operator(NamedOperator("ann", frozenset({Role.EDITOR}), ("ann@corp.example",)))
        await writing.put_operator(
            NamedOperator("eve", frozenset({Role.EDITOR}), ("eve@corp.example",), removed_at=1.0)
        )

    await store.write(work)
    async with store.read() as reading:
        assert await named_of(Settings())(reading) == (NamedSet(OPERATORS, logins=("ann@corp.example",)),)


@pytest.mark.parametrize(
    ("given", "ways"),
    [
        ({}, set()),
        ({"IMAP__LISTEN": "imap://127.0.0.1:0", "IMAP__UPSTREAM": "imap://mail.internal"}, {Protocol.IMAP}),
        ({"POSTFIX__LISTEN": "tcp://127.0.0.1:0"}, {Protocol.SMTP}),
        ({"WEBMAIL__EWS": "verdict"}, {Protocol.WEBMAIL}),
        ({"AUTHZ__LISTEN": "http://127.0.0.1:0"}, set(Protocol) - {Protocol.ACTIVESYNC}),
    ],
)
def test_people_count_by_the_ways_that_are_open_and_know_no_device(given: dict[str, str], ways: set[Protocol]) -> None:
    told = load_settings(None, {f"GATEPOST_{name}": value for name, value in given.items()})
    assert fleet_settings_of(told).by_name == ways
