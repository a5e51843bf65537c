"""The kinds of child process, and what the supervisor gives each of them."""

import hashlib
import json
import os
import secrets
import socket
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from pathlib import Path

from gateway.ports.worker_statuses import Place
from gateway.settings import Settings

SETTINGS_VARIABLE = "GATEPOST_SETTINGS"
PLACE_VARIABLE = "GATEPOST_PLACE"
FIRST_WORKER = "worker-1"
"""Of each machine; it does what one worker does for all."""


class Kind(StrEnum):
    """What a child does."""

    WORKER = "worker"
    CONTROL = "control"
    HEALTH = "health"


def words_for(kind: Kind) -> tuple[str, ...]:
    """The words that start a child of that kind."""
    return (sys.executable, "-m", "gateway.app.child", kind.value)


def machine_name(data_dir: Path) -> str:
    """What tells a supervisor from others, for people, and stays when it is started again."""
    return f"{socket.gethostname()}-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:4]}"


def run_name() -> str:
    """What tells one run of a supervisor from every other one."""
    return secrets.token_hex(4)


def next_run(run: str) -> str:
    """The same for the version that takes over from that one: another, and still of the same supervisor."""
    first, _, upgrades = run.partition(".")
    return f"{first}.{int(upgrades or 0) + 1}"


def handed_over(settings: Settings, place: Place, *, alone: bool) -> dict[str, str]:
    """The environment that carries the settings to a child, and where it is.

    ``alone``: the cache server is this supervisor's own.
    """
    there = json.dumps([place.machine, place.name, place.run, alone])
    return {SETTINGS_VARIABLE: settings.model_dump_json(), PLACE_VARIABLE: there}


def own_place(environment: MutableMapping[str, str]) -> tuple[Place, bool]:
    """Where this child is, and whether its supervisor's cache server is its own.

    Raises ``KeyError`` and ``ValueError``.
    """
    machine, name, run, alone = json.loads(environment.pop(PLACE_VARIABLE))
    return Place(machine, name, run), bool(alone)
