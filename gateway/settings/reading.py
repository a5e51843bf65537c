"""Reads the settings from file and environment, and remembers where each value is from."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from gateway.settings.sections import Settings
from gateway.settings.sentences import PREFIX, SettingsInvalid, known_keys, nearest, places_of, sentence

NOT_SETTINGS = frozenset(
    {
        *("URL", "TOKEN", "SOURCE_SECRET", "CONFIG"),
        *("LINK", "SETTINGS", "PLACE", "SOCKETS", "TERMINAL", "SUCCESSION"),
        "REQUIRE_LIVE",
    }
)
"""Variables of our prefix that are no settings: of the command line, of child processes, of the tests."""
DEFAULT_FILES = (Path("gatepost.toml"), Path("/etc/gatepost/gatepost.toml"))
"""Read when no file is named, if there."""


class _Variable(NamedTuple):
    name: str
    section: str
    key: str
    value: str


def load_settings(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of ``path`` (or of the first default file that is there) and of the environment.

    Raises ``SettingsInvalid``.
    """
    environment = os.environ if environment is None else environment
    source, values = _from_file(path or _default_file())
    origins = {(section, key): source for section, table in values.items() for key in _keys(table)}
    for variable in _from_environment(environment):
        table = values.setdefault(variable.section, {})
        if not isinstance(table, dict):
            raise SettingsInvalid(
                f"{source}: {variable.section} must be a table: write [{variable.section}] above its keys"
            )
        table[variable.key] = variable.value
        origins[variable.section, variable.key] = variable.name
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsInvalid(sentence(error, source, origins)) from None


def _default_file() -> Path | None:
    # Not ``Path.is_file``, which fails in a directory that this user may not enter, as after ``sudo -u`` in root's own.
    return next((path for path in DEFAULT_FILES if os.path.isfile(path)), None)


def _keys(table: object) -> list[str]:
    return list(table) if isinstance(table, dict) else []


def _from_file(path: Path | None) -> tuple[str, dict[str, Any]]:
    if path is None:
        return "the defaults", {}
    try:
        return str(path), tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise SettingsInvalid(
            f"{path} cannot be read ({error.strerror}): name a file that is there and that this user may read"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{path} is no TOML file: {error}: correct that place (https://toml.io)") from None


def _from_environment(environment: Mapping[str, str]) -> list[_Variable]:
    """Every variable of ours, in the order of their names."""
    found: dict[tuple[str, str], _Variable] = {}
    for name, value in sorted(environment.items()):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in NOT_SETTINGS:
            variable = _variable(name, value)
            other = found.setdefault((variable.section, variable.key), variable)
            if other is not variable:
                raise SettingsInvalid(f"{other.name} and {name} are both set: remove one of them")
    return list(found.values())


def _variable(name: str, value: str) -> _Variable:
    section, _, key = name.removeprefix(PREFIX).lower().partition("__")
    if key.endswith("_file") and key not in known_keys(section):
        key, value = key.removesuffix("_file"), _held_by(name, value)
    if key not in known_keys(section):
        places = [f"{PREFIX}{each}__{at}".upper() for each, at in places_of(section)] if not key else []
        meant = f"did you mean {' or '.join(places)}?" if places else nearest(section, key)
        raise SettingsInvalid(f"{name} is no setting: {meant}")
    return _Variable(name, section, key, value)


def _held_by(name: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        reason = error.strerror or "unreadable"
    except ValueError:
        reason = "it is no text"
    raise SettingsInvalid(f"{name} names {path}, which cannot be read ({reason}): name a file that holds the value")
