"""Hostile and odd answers of a mail server, by theme."""

from typing import Final

from tests.hostile.answer_case import AnswerCase
from tests.hostile.answer_framing import CHUNKS, CODINGS, INTERIM, LENGTHS
from tests.hostile.answer_heads import BODILESS, CHALLENGES, FIELDS, STATUS_LINES

THEMES: Final[dict[str, tuple[AnswerCase, ...]]] = {
    "interim answers": INTERIM,
    "lengths and ends of answers": LENGTHS,
    "codings of answers": CODINGS,
    "chunks of answers": CHUNKS,
    "status lines, half heads, other protocols": STATUS_LINES,
    "header fields of answers": FIELDS,
    "challenges": CHALLENGES,
    "answers that have no body": BODILESS,
}
