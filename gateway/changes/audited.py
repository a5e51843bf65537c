"""What the audit log is told of an edit of the policy: its summary, with nobody's name in it.

Whom an exemption is for stands among the entry's subjects, as a pseudonym; everything else in a summary is about bans,
groups and settings.
"""

from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import GATEPOST, Value
from gateway.domain.change import PolicyChange
from gateway.domain.policy import Exemption, PolicyVersion

SUBJECTS_AT_MOST = 100
"""Of one entry; an edit that drops more exemptions at once says how many."""


def policy_edited(before: PolicyVersion, after: PolicyVersion) -> AuditEntry:
    """The entry for a version that follows another."""
    old = {each.id: each for each in before.exemptions}
    new = {each.id: each for each in after.exemptions}
    added = [each for name, each in new.items() if name not in old]
    ended = [each for name, each in old.items() if name not in new]
    concerned = [(each, "added") for each in added] + [(each, "removed") for each in ended]
    named = [(each, what) for each, what in concerned if each.login]
    return AuditEntry(
        AuditKind.POLICY_EDITED,
        after.author,
        tuple(_subject(each, what) for each, what in named[:SUBJECTS_AT_MOST]),
        {
            "version": after.number,
            "summary": _without_names(after.summary, [each for each, _ in named]),
            "enforcement_on": after.enforcement_on,
            "exemptions_added": len(added),
            "exemptions_removed": len(ended),
        },
    )


def policy_begun(first: PolicyVersion) -> AuditEntry:
    """The entry for the first version of all."""
    return AuditEntry(
        AuditKind.POLICY_EDITED,
        first.author or GATEPOST,
        details={"version": first.number, "summary": first.summary, "enforcement_on": first.enforcement_on},
    )


def change_told(change: PolicyChange, kind: AuditKind, by: str, **details: Value) -> AuditEntry:
    """The entry for a step of a change's life."""
    named = [each for touch in change.touches for each in (touch.before, touch.after) if isinstance(each, Exemption)]
    subjects = [_subject(each, "touched") for each in named[:SUBJECTS_AT_MOST] if each.login]
    return AuditEntry(
        kind,
        by,
        (*subjects, *_acted_on(change)),
        {
            "change": change.number,
            "state": change.state.value,
            "title": "" if change.action and _acted_on(change) else _without_names(change.title, named),
            "parts": [touch.part for touch in change.touches[:SUBJECTS_AT_MOST]],
            "author": change.author,
            "preview": change.preview.digest if change.preview else "",
            **({"action": change.action.kind} if change.action else {}),
            **details,
        },
    )


def _acted_on(change: PolicyChange) -> tuple[Subject, ...]:
    """Whom a guarded action is about, where that is a mail user (``person``, ``device`` among its values)."""
    values = change.action.values if change.action else {}
    return (Subject(values["person"], values.get("device", "")),) if values.get("person") else ()


def _subject(exemption: Exemption, what: str) -> Subject:
    return Subject(exemption.login, exemption.device_id, {"exemption": exemption.id, "what": what})


def _without_names(summary: str, exemptions: list[Exemption]) -> str:
    names = {name for each in exemptions for name in (each.login, each.device_id) if name}
    # The longest first: one may be a part of another.
    for name in sorted(names, key=len, reverse=True):
        summary = summary.replace(name, "(see subjects)")
    return summary
