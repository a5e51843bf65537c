"""Reads a policy file: TOML text to a document that is known to be well formed. Pure.

An error is one sentence with line, key and remedy. Texts come from operators and are bounded all the same: in size, in
the length of a line and in depth, since the parser's time and stack grow with them.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.changes.policy_document import PolicyDocument
from gateway.changes.policy_lines import line_of
from gateway.domain.errors import InvalidValue

LONGEST = 2 << 20
"""Characters of a file."""
LINE_LONGEST = 16_384
"""A dotted key costs the square of its parts."""

_REMEDIES = {
    "missing": "it has to be there",
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "float_type": "write a number",
    "string_type": "write a text in quotes",
    "list_type": 'write a list, like ["one", "two"]',
    "dict_type": "write a table",
    "model_type": "write a table",
    "enum": "write {expected}",
    "literal_error": "write {expected}",
    "greater_than_equal": "write {ge} or more",
    "less_than_equal": "write {le} or less",
    "too_long": "it has at most {max_length} entries",
    "string_too_long": "it has at most {max_length} characters",
    "value_error": "{error}",
}
"""By pydantic's error types, filled from their context."""


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """What an operator wants of the policy, and the text it was read from."""

    document: PolicyDocument
    text: str = ""
    """Comments included; empty where it came as JSON."""

    def at(self, *path: str | int) -> str:
        """Where in the file that is, to begin a sentence with."""
        return _where(self.text, path)


def read(text: str) -> PolicyFile:
    """The file of that text. Raises ``InvalidValue``."""
    if len(text) > LONGEST:
        raise InvalidValue(f"a policy file has at most {LONGEST} characters: make two changes of it")
    lengthy = next((number for number, line in enumerate(text.split("\n"), 1) if len(line) > LINE_LONGEST), None)
    if lengthy is not None:
        raise InvalidValue(f"line {lengthy} has more than {LINE_LONGEST} characters: break it into several")
    try:
        parsed = tomllib.loads(text)
    except RecursionError:
        raise InvalidValue("this is no policy file: its values lie too deep in one another") from None
    except ValueError as error:
        # Also of numbers with too many digits, which are no ``TOMLDecodeError``.
        raise InvalidValue(f"this is no TOML text: {error}: correct that place (https://toml.io)") from None
    return PolicyFile(_document(parsed, text), text)


def _document(parsed: Mapping[str, Any], text: str) -> PolicyDocument:
    try:
        return PolicyDocument.model_validate(parsed)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    raise InvalidValue(f"{_where(text, first['loc'])}{_remedy(first)}")


def _remedy(error: ErrorDetails) -> str:
    name = str(error["loc"][-1])
    if error["type"] == "extra_forbidden":
        known = list(_keys_at(PolicyDocument, error["loc"][:-1]))
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        return f"there is no key {name}: {remedy}"
    words = _REMEDIES.get(error["type"])
    told = words.format(**error.get("ctx", {})) if words else error["msg"]
    given = error["input"]
    shown = f"{given!r}: " if isinstance(given, (str, int, float)) and len(str(given)) <= 100 else ""
    return told if error["type"] in ("missing", "value_error") else f"{shown}{told}"


def _keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> Iterator[str]:
    """The keys of the section at that place."""
    for name in loc:
        if isinstance(name, str):
            field = next((each for key, each in model.model_fields.items() if name in (key, each.alias)), None)
            inner = next(_models_in(field.annotation), None) if field else None
            model = inner or model
    for key, each in model.model_fields.items():
        yield each.alias or key


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models_in(each)


def _where(text: str, path: Sequence[str | int]) -> str:
    words = ""
    for part in path:
        # The value of a matcher is the matcher itself, for the reader.
        words += f"[{part + 1}]" if isinstance(part, int) else f"{'.' if words else ''}{part}"
    line = line_of(text, path) if text else None
    return f"line {line}, {words}: " if line is not None else f"{words}: " if words else ""
