"""What a reload does not bring into force: said at each SIGHUP, so that nobody believes that an edited file counts.

Also what a restart would stumble over is said while the gateway still runs.
"""

from pathlib import Path

import structlog

from gateway.settings import Settings, SettingsInvalid, check_complete, load_settings

log = structlog.get_logger()


def tell_of_changed_settings(present: Settings, config: Path | None, role: str) -> None:
    """Compare ``present`` with what file and environment say now, and log the names of what differs; never raises."""
    try:
        now = load_settings(config)
        check_complete(now, role)
    except SettingsInvalid as error:
        log.error("settings_unusable", reason=str(error), remedy="correct it: the next start or upgrade would fail")
        return
    if names := different(present, now):
        log.warning("settings_not_in_force", changed=names, remedy="gatepost upgrade, or a restart")


def different(one: Settings, other: Settings) -> list[str]:
    """The names of settings that differ, as they stand in the file; no values, which may be secrets."""
    ones, others = one.model_dump(), other.model_dump()
    return [
        f"[{section}] {key}" for section, table in ones.items() for key in table if table[key] != others[section][key]
    ]
