"""The shipped configuration files: they say what the code says, in both directions."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway.settings import Settings, check_complete, load_settings

CONFIG = Path(__file__).resolve().parents[1] / "config"
WHOLE = CONFIG / "gatepost.toml"


def sections() -> dict[str, type[BaseModel]]:
    found = {}
    for name, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, BaseModel)
        found[name] = field.annotation
    return found


def test_every_setting_stands_there_with_its_default_and_nothing_else() -> None:
    defaults = {
        section: {key: getattr(getattr(Settings(), section), key) for key in model.model_fields}
        for section, model in sections().items()
    }
    assert tomllib.loads(WHOLE.read_text("utf-8")) == defaults


def test_in_the_order_of_the_code() -> None:
    written = [(section, key) for section, table in tomllib.loads(WHOLE.read_text("utf-8")).items() for key in table]
    assert written == [(section, key) for section, model in sections().items() for key in model.model_fields]


def test_a_comment_explains_every_setting() -> None:
    lines = WHOLE.read_text("utf-8").splitlines()
    keys = [number for number, line in enumerate(lines) if line and not line.startswith(("#", "["))]
    assert [lines[number] for number in keys if not lines[number - 1].startswith("#")] == []


def test_it_loads() -> None:
    assert load_settings(WHOLE, {}) == Settings()


def test_every_section_refuses_what_it_does_not_know() -> None:
    assert [name for name, model in sections().items() if model.model_config.get("extra") != "forbid"] == []


@pytest.mark.parametrize("path", sorted((CONFIG / "examples").rglob("*.toml")), ids=lambda path: path.name)
def test_the_examples_load(path: Path) -> None:
    settings = load_settings(path, {"GATEPOST_HTTP__UPSTREAM": "https://mail.internal"})
    check_complete(settings, "all")


def test_the_variables_that_the_examples_name_are_settings() -> None:
    texts = [path for path in (CONFIG / "examples").rglob("*") if path.is_file()]
    texts += [CONFIG.parent / "Dockerfile", WHOLE]
    named = {name for path in texts for name in re.findall(r"GATEPOST_[A-Z_]+", path.read_text("utf-8"))}
    known = {
        f"GATEPOST_{section}__{key}".upper() for section, model in sections().items() for key in model.model_fields
    }
    assert {name for name in named if name.removesuffix("_FILE") not in known} <= {"GATEPOST_CONFIG"}
