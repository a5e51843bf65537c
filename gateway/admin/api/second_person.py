"""Why a change is not applied, as it is told: with what to do first where nobody may be the second person.

Else whoever is the only operator would be sent to a command that nobody can give.
"""

from gateway.admin.operators import other_approvers
from gateway.changes.applying import NotApplied
from gateway.changes.short_form import refusal_words
from gateway.ports.store import Reading

NOBODY_ELSE = (
    ". Nobody else may approve so far: make somebody an approver (gatepost operator add NAME --role approver), or, "
    "where there is one operator only, set [changes] second_person = false"
)


async def refusal_told(reading: Reading, refused: NotApplied | None) -> str:
    """The sentence; empty where nothing is refused."""
    if refused is None:
        return ""
    asks = bool(refused.hits) and not await other_approvers(reading, refused.change.author)
    return refusal_words(refused) + (NOBODY_ELSE if asks else "")
