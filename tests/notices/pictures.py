"""Pictures of the notices as a browser shows them: ``python -m tests.notices.pictures`` writes ``docs/images``.

It needs ``chromium`` (Debian's package), which reads the HTML parts from files and goes nowhere else.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gateway.domain.notice import NoticeKind
from gateway.notices.languages import LANGUAGES
from tests.notices.texts import composed, picture_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
WIDTH = 700
HEIGHTS = {
    NoticeKind.WARNING: 830,
    NoticeKind.CUT: 830,
    NoticeKind.CORRECTION: 330,
    NoticeKind.ADMITTED: 200,
}
"""Of the window, which is what is pictured."""
WITHIN_SECONDS = 120
LARGEST = 100 << 10


def take(chromium: str, html: str, picture: Path, height: int, directory: Path) -> None:
    """One picture."""
    source = directory / "notice.html"
    source.write_text(html, "utf-8")
    words = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-color-profile=srgb"]
    words += [f"--user-data-dir={directory / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    words += [f"--window-size={WIDTH},{height}", f"--screenshot={picture}", source.as_uri()]
    subprocess.run(words, check=True, timeout=WITHIN_SECONDS, capture_output=True)
    if picture.stat().st_size > LARGEST:
        raise SystemExit(f"{picture} has {picture.stat().st_size} octets, more than {LARGEST}")


def main() -> int:
    """Take them all."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("there is no chromium: apt-get install chromium", file=sys.stderr)
        return 1
    (DOCS / "images").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        for language in LANGUAGES:
            for kind in NoticeKind:
                picture = DOCS / picture_of(language, kind)
                take(chromium, composed(language, kind).html, picture, HEIGHTS[kind], Path(place))
                print(picture.name, picture.stat().st_size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
