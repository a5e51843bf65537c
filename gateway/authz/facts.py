"""What an HTTP asker is told beside the verdict, as headers: for its log and its rules.

Without the app, and of a person the name only that was asked about: not every asker keeps to itself what it hears.
"""

from urllib.parse import quote

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import FOREVER, Verdict


def facts_of(request: AccessRequest | None, verdict: Verdict | None) -> tuple[tuple[str, str], ...]:
    """Names and values; both None where nothing was judged."""
    if request is None or verdict is None:
        return ("X-Gatepost-Verdict", "allow"), ("X-Gatepost-Reason", "not_asked")
    facts = [
        ("X-Gatepost-Verdict", verdict.effect.name.lower()),
        ("X-Gatepost-Reason", verdict.reason.value),
        ("X-Gatepost-User", quote(request.login, safe="@+")),
        ("X-Gatepost-Identity", request.strength.word),
    ]
    if verdict.valid_until != FOREVER:
        facts.append(("X-Gatepost-Valid-Until", str(int(verdict.valid_until))))
    return tuple(facts)
