"""Moments in a reader's words: with weekday and zone, so that nobody has to guess which Friday is meant."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
}
MONTHS = {
    "en": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
    "de": (
        *("Januar", "Februar", "März", "April", "Mai", "Juni"),
        *("Juli", "August", "September", "Oktober", "November", "Dezember"),
    ),
    "es": (
        *("enero", "febrero", "marzo", "abril", "mayo", "junio"),
        *("julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"),
    ),
}
FORMS = {
    "en": "{weekday}, {day} {month} {year}, {time} ({zone})",
    "de": "{weekday}, {day}. {month} {year}, {time} Uhr ({zone})",
    "es": "{weekday}, {day} de {month} de {year}, {time} h ({zone})",
}


def zone_of(name: str, site: str) -> ZoneInfo:
    """The zone of that name; the site's, or UTC, where there is none."""
    for each in (name, site):
        try:
            if each:
                return ZoneInfo(each)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


def in_words(moment: float, language: str, zone: ZoneInfo) -> str:
    """A moment as a reader of that language expects it; numbers alone for a language that has no words here."""
    local = datetime.fromtimestamp(moment, UTC).astimezone(zone)
    if language not in FORMS:
        return f"{local:%Y-%m-%d %H:%M} ({zone.key})"
    return FORMS[language].format(
        weekday=WEEKDAYS[language][local.weekday()],
        day=local.day,
        month=MONTHS[language][local.month - 1],
        year=local.year,
        time=f"{local:%H:%M}",
        zone=zone.key.replace("_", " "),
    )
