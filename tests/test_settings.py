"""Settings: what is accepted from file and environment, and the one sentence for everything else."""

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway.settings import Settings, SettingsInvalid, check_complete, load_settings

CONFIG = Path(__file__).resolve().parents[1] / "config" / "gatepost.toml"


def sections() -> dict[str, dict[str, object]]:
    return {
        name: {key: getattr(getattr(Settings(), name), key) for key in type(getattr(Settings(), name)).model_fields}
        for name in Settings.model_fields
    }


def test_the_shipped_file_states_every_setting_with_its_default() -> None:
    assert tomllib.loads(CONFIG.read_text()) == sections()


def test_the_shipped_file_explains_every_setting() -> None:
    lines = CONFIG.read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if line and not line.startswith(("#", "["))]
    assert [lines[number] for number in keys if not lines[number - 1].startswith("#")] == []


def test_the_shipped_file_loads() -> None:
    assert load_settings(CONFIG, {}) == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_text('[http]\nupstream = "https://one.example"\nidle_seconds = 5\n')
    settings = load_settings(file, {"GATEPOST_HTTP__UPSTREAM": "https://two.example"})
    assert settings.http.upstream == ["https://two.example"]
    assert settings.http.idle_seconds == 5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://a.example", ["https://a.example"]),
        ("https://a.example, https://b.example", ["https://a.example", "https://b.example"]),
        ('["https://a.example", "https://b.example"]', ["https://a.example", "https://b.example"]),
        ("", []),
    ],
)
def test_a_list_in_the_environment(value: str, expected: list[str]) -> None:
    assert load_settings(None, {"GATEPOST_HTTP__UPSTREAM": value}).http.upstream == expected


def test_a_value_from_a_secret_file(tmp_path: Path) -> None:
    secret = tmp_path / "redis"
    secret.write_text("redis://:hidden@cache.example:6379\n")
    settings = load_settings(None, {"GATEPOST_REDIS__URL_FILE": str(secret)})
    assert settings.redis.url == "redis://:hidden@cache.example:6379"
    assert "hidden" not in repr(settings)


def test_names_that_are_no_settings_pass() -> None:
    assert load_settings(None, {"GATEPOST_TOKEN": "x", "GATEPOST_URL": "y", "PATH": "z"}) == Settings()


WRONG = [
    ({"GATEPOST_HTTP__UPSTREM": "x"}, "GATEPOST_HTTP__UPSTREM is no setting: did you mean upstream?"),
    ({"GATEPOST_HTP__UPSTREAM": "x"}, "the sections are"),
    ({"GATEPOST_HTTP": "x"}, "write GATEPOST_HTTP__KEY"),
    ({"GATEPOST_HTTP__UPSTREAM": "mail"}, "write scheme and host only, like https://mail.internal"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://mail/path"}, "write scheme and host only"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://me:hidden@mail"}, "holds no user name"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://mail:port"}, "port that is no number"),
    ({"GATEPOST_HTTP__LISTEN": "127.0.0.1:8080"}, "write it like http://127.0.0.1:8080"),
    ({"GATEPOST_HTTP__LISTEN": "http://127.0.0.1"}, "write it like http://127.0.0.1:8080"),
    ({"GATEPOST_GATEWAY__WORKERS": "many"}, "[gateway] workers"),
    ({"GATEPOST_GATEWAY__WORKERS": "0"}, "[gateway] workers"),
    ({"GATEPOST_STORAGE__URL": "mysql://u:hidden@h/d"}, "write nothing for SQLite"),
    ({"GATEPOST_REDIS__URL": "http://:hidden@h"}, 'write "embedded"'),
    ({"GATEPOST_HTTP__PARKED_SECONDS": "60"}, "greater than or equal to 3660"),
    ({"GATEPOST_HTTP__TRUSTED_PROXIES": "10.0.0.1/8"}, "has host bits set"),
    ({"GATEPOST_IDENTITY__DOMAINS": "CORP"}, "[identity] domains"),
    ({"GATEPOST_REDIS__URL_FILE": "/no/such/file"}, "cannot be read"),
]


@pytest.mark.parametrize(("environment", "sentence"), WRONG)
def test_what_is_wrong_in_the_environment(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(None, environment)
    assert sentence in str(caught.value)
    assert next(iter(environment)) in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[http]\nupstrem = "x"', "[http] upstrem is no setting: did you mean upstream?"),
        ("[htp]\n", "[htp] is no setting"),
        ("http = 3", "[http]"),
        ("[http\n", "is no TOML file"),
        ('[http]\nupstream = "x"\nupstream = "y"', "is no TOML file"),
    ],
)
def test_what_is_wrong_in_the_file(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(file, {})
    assert sentence in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        load_settings(tmp_path / "none.toml", {})


def test_what_a_start_needs() -> None:
    with pytest.raises(SettingsInvalid, match="upstream is not set"):
        check_complete(Settings(), "all")
    check_complete(Settings(), "control")
    secure = load_settings(
        None, {"GATEPOST_HTTP__UPSTREAM": "https://mail", "GATEPOST_HTTP__LISTEN": "https://0.0.0.0:443"}
    )
    with pytest.raises(SettingsInvalid, match="needs a certificate"):
        check_complete(secure, "all")


def test_every_section_forbids_what_it_does_not_know() -> None:
    for name, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        assert model.model_config.get("extra") == "forbid", name
