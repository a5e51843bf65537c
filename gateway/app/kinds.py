"""The kinds of child process, and what the supervisor gives each of them."""

import sys
from enum import StrEnum

from gateway.settings import Settings

SETTINGS_VARIABLE = "GATEPOST_SETTINGS"


class Kind(StrEnum):
    """What a child does."""

    WORKER = "worker"
    CONTROL = "control"
    HEALTH = "health"


def words_for(kind: Kind) -> tuple[str, ...]:
    """The words that start a child of that kind."""
    return (sys.executable, "-m", "gateway.app.child", kind.value)


def handed_over(settings: Settings) -> dict[str, str]:
    """The environment that carries the settings to a child."""
    return {SETTINGS_VARIABLE: settings.model_dump_json()}
