"""What ``status`` says of notices: mailings that stand still, and readers who say that theirs is wrong."""

from gateway.domain.notice import MailingState, NoticeKind
from gateway.ports.store import Reading

MAILINGS_LOOKED_AT = 50
"""Of the newest changes; corrections of any, since people believe meanwhile what is not so."""
STOPPED = frozenset({MailingState.STOPPED})
SHOWN_SECONDS = 7 * 86_400.0
"""So long a reader's word is news."""


async def about_notices(reading: Reading, now: float) -> list[str]:
    """One sentence for each, with what to do."""
    mailings = await reading.mailings(limit=MAILINGS_LOOKED_AT)
    corrections = [each for each in await reading.mailings_in(STOPPED) if each.kind is NoticeKind.CORRECTION]
    found = [
        f"the {each.kind} notices of change {each.change} are stopped ({each.words}): gatepost notice resume "
        f"{each.change} {each.kind}, or gatepost withdraw {each.change}"
        for each in dict.fromkeys([*mailings, *corrections])
        if each.state is MailingState.STOPPED
    ]
    for change in dict.fromkeys(each.change for each in mailings):
        wrong = await reading.complaints(change, now - SHOWN_SECONDS)
        if wrong:
            readers = "1 reader says" if wrong == 1 else f"{wrong} readers say"
            found.append(f"{readers} that the notice about change {change} is wrong: gatepost change show {change}")
    return found
