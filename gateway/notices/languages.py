"""Which languages there are notices in: ours, and those of a site's own directory of templates."""

import re
from pathlib import Path

from gateway.domain.errors import InvalidValue
from gateway.domain.notice import NoticeKind

LANGUAGES = ("de", "en", "es")
_TAG = re.compile(r"[a-z]{2,3}")


def languages_of(directory: str) -> tuple[str, ...]:
    """All of them, sorted. ``directory`` is the site's own; empty: there is none. Raises ``InvalidValue``."""
    own = []
    if directory:
        try:
            own = [each.name for each in Path(directory).iterdir() if each.is_dir() and _TAG.fullmatch(each.name)]
        except (NotADirectoryError, FileNotFoundError):
            raise InvalidValue(f"[notices] templates {directory} is no directory") from None
        except OSError as error:
            raise InvalidValue(f"[notices] templates {directory} cannot be read ({error.strerror})") from None
        for name in set(own) - set(LANGUAGES):
            missing = [str(kind) for kind in NoticeKind if not (Path(directory) / name / f"{kind}.txt").is_file()]
            if missing:
                raise InvalidValue(f"[notices] templates {directory}/{name} lacks {', '.join(missing)} (each as .txt)")
    return tuple(sorted({*LANGUAGES, *own}))
