"""What is said at a reload of settings that it does not bring into force."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.app.changed_settings import tell_of_changed_settings
from gateway.settings import load_settings

FILE = '[http]\nupstream = ["https://mail.internal"]\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gatepost.toml"
    path.write_text(FILE)
    return path


def test_nothing_is_said_where_nothing_was_changed(config: Path) -> None:
    with capture_logs() as logged:
        tell_of_changed_settings(load_settings(config), config, "all")
    assert logged == []


def test_what_was_changed_is_named_without_its_value(config: Path) -> None:
    present = load_settings(config)
    config.write_text(f'{FILE}idle_seconds = 9.0\n[redis]\nurl = "redis://:secret@cache:6379"\n')
    with capture_logs() as logged:
        tell_of_changed_settings(present, config, "all")
    assert [(entry["event"], entry["changed"]) for entry in logged] == [
        ("settings_not_in_force", ["[redis] url", "[http] idle_seconds"])
    ]
    assert "secret" not in str(logged)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[http]\nupstraem = 1\n", "[http] upstraem is no setting"),
        ("[http\n", "is no TOML file"),
        ("", "upstream"),
    ],
)
def test_what_the_next_start_would_stumble_over_is_said_now(config: Path, text: str, reason: str) -> None:
    present = load_settings(config)
    config.write_text(text)
    with capture_logs() as logged:
        tell_of_changed_settings(present, config, "all")
    assert [entry["event"] for entry in logged] == ["settings_unusable"]
    assert reason in logged[0]["reason"]
    config.unlink()
    with capture_logs() as logged:
        tell_of_changed_settings(present, config, "all")
    assert "cannot be read" in logged[0]["reason"]
