"""The settings: a TOML file, the environment above it, and defaults under both (pydantic-settings).

Every key is also a variable: ``GATEPOST_HTTP__UPSTREAM``; with ``_FILE`` behind it (``GATEPOST_STORAGE__URL_FILE``) the
value is what that file holds, for secrets. An unknown key or variable is an error: a mistyped limit must not be
silently no limit. Errors are one sentence with file (or variable), key and remedy, and repeat no value that may be a
secret. ``sections`` has the keys, ``values`` what they accept, ``reading`` where they come from.
"""

from gateway.settings.complete import check_complete
from gateway.settings.reading import load_settings
from gateway.settings.sections import CutSection, MailSection, NoticesSection, Settings, SmtpSection, WebmailSection
from gateway.settings.sentences import SettingsInvalid

__all__ = [
    "CutSection",
    "MailSection",
    "NoticesSection",
    "Settings",
    "SettingsInvalid",
    "SmtpSection",
    "WebmailSection",
    "check_complete",
    "load_settings",
]
