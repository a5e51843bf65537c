"""All hostile requests, by theme."""

from typing import Final

from tests.hostile import chunk_cases, codings, fields, giants, lengths, lines, methods, targets
from tests.hostile.case import Case

THEMES: Final[dict[str, tuple[Case, ...]]] = {
    "a length beside chunks": lengths.BESIDE_CHUNKS,
    "several lengths": lengths.SEVERAL,
    "odd lengths": lengths.ODD,
    "a length in disguise": lengths.DISGUISED,
    "values of Transfer-Encoding": codings.VALUES,
    "Transfer-Encoding obscured": codings.OBSCURED,
    "several codings": codings.SEVERAL,
    "neighbours of Transfer-Encoding": codings.NEIGHBOURS,
    "chunk sizes": chunk_cases.SIZES,
    "line ends of chunks": chunk_cases.LINE_ENDS,
    "chunk extensions": chunk_cases.EXTENSIONS,
    "trailers": chunk_cases.TRAILERS,
    "chunks without an end": chunk_cases.UNFINISHED,
    "line ends of heads": lines.ENDS,
    "folded lines": lines.FOLDS,
    "names and colons": lines.COLONS,
    "control and 8-bit octets": lines.CONTROLS,
    "no request, half a request, several": lines.GARBAGE,
    "paths": targets.PATHS,
    "queries": targets.QUERIES,
    "forms of the request line": targets.FORMS,
    "versions of HTTP": methods.VERSIONS,
    "methods": methods.METHODS,
    "bodies where none is expected": methods.BODIES,
    "Host": fields.HOSTS,
    "fields that decide, twice": fields.TWICE,
    "Expect": fields.EXPECT,
    "Upgrade": fields.UPGRADE,
    "Connection": fields.CONNECTION,
    "words of a front proxy": fields.FRONTS,
    "giants": giants.CASES,
}
CASES: Final = tuple(case for theme in THEMES.values() for case in theme)
