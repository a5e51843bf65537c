"""Makes one clear sentence of what is wrong: where it stands, which key, and what to write instead.

Values are repeated only by the checks in ``values`` that know them to be no secret.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.domain.errors import DomainError
from gateway.settings.sections import Settings

PREFIX = "GATEPOST_"
_REMEDIES = {
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "finite_number": "write a number that ends",
    "greater_than": "write a number above {gt}",
    "greater_than_equal": "write {ge} or more",
    "less_than_equal": "write {le} or less",
    "literal_error": "write {expected}",
    "string_type": "write a text in quotes",
    "list_type": 'write a list of texts, like ["one", "two"]',
    "dict_type": 'write a table of texts, like {{ CORP = "corp.example" }}',
    "value_error": "{error}",
}
"""By pydantic's error types, filled from their context."""


class SettingsInvalid(DomainError):  # noqa: N818
    """A setting is wrong; the text names where, which and what to do."""


def known_keys(section: str) -> frozenset[str]:
    """The keys of a section; none for an unknown one."""
    field = Settings.model_fields.get(section)
    model = field.annotation if field else None
    return frozenset(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else frozenset()


def places_of(name: str) -> list[tuple[str, str]]:
    """Sections and keys that may be meant by a name without a section, or with one underscore behind it."""
    known = [(section, key) for section in Settings.model_fields for key in sorted(known_keys(section))]
    return [(section, key) for section, key in known if name in (key, f"{section}_{key}")]


def nearest(section: str, key: str) -> str:
    """What may have been meant."""
    keys = sorted(known_keys(section))
    if not keys:
        if places := places_of(section):
            return f"did you mean {places[0][1]} below {' or '.join(f'[{name}]' for name, _ in places)}?"
        close = difflib.get_close_matches(section, Settings.model_fields, n=1)
        return f"did you mean [{close[0]}]?" if close else f"the sections are {', '.join(Settings.model_fields)}"
    if not key:
        return f"write {PREFIX}{section.upper()}__KEY"
    close = difflib.get_close_matches(key, keys, n=1)
    return f"did you mean {close[0]}?" if close else f"[{section}] has {', '.join(keys)}"


def sentence(error: ValidationError, source: str, origins: Mapping[tuple[str, str], str]) -> str:
    """The sentence for the first wrong key. ``origins`` tells where a value came from, by (section, key)."""
    errors = error.errors(include_url=False, include_input=False)
    section, key = _place(errors[0])
    where, name = origins.get((section, key), source), f"[{section}] {key}".strip()
    if errors[0]["type"] == "extra_forbidden":
        return f"{where}: {name} is no setting: {nearest(section, key)}"
    if not key:
        return f"{where}: {section} must be a table: write [{section}] above its keys"
    # A key that accepts two kinds has an error for each.
    return f"{where}: {name}: {_joined(_remedy(each) for each in errors if _place(each) == (section, key))}"


def _place(error: ErrorDetails) -> tuple[str, str]:
    section, key, *_ = [*map(str, error["loc"]), "", ""]
    return section, key


def _remedy(error: ErrorDetails) -> str:
    context: dict[str, Any] = {name: _short(value) for name, value in error.get("ctx", {}).items()}
    template = _REMEDIES.get(error["type"])
    return template.format(**context) if template else error["msg"]


def _short(value: object) -> object:
    """3660 for 3660.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _joined(remedies: Iterable[str]) -> str:
    first, *others = dict.fromkeys(remedies)
    return " or ".join([first, *(each.removeprefix("write ") for each in others)])
