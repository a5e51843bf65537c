"""What somebody's answer would be if something were otherwise: another ban, an app more or less, another flag.

Pure, and nothing is stored: the questions give another policy and another record, which ``explain`` judges as ever. An
app that is thought in or away belongs to what the sources last said, at the moment when they said it, so that a list
that is too old stays so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.changes.edits import add_ban, set_flag, set_unknown
from gateway.domain.bans import Ban, Flag, MatcherKind
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import App, Naming, Platform, Scope, folded_id
from gateway.domain.matching import matcher_from_text
from gateway.domain.policy import PolicyVersion, Setting
from gateway.domain.verdict import FOREVER

MOST = 20
"""Of each kind in one question."""
THOUGHT = "what-if"
"""The source of an app on a device that no source reports."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What is thought to be otherwise; everything as an operator writes it."""

    bans: tuple[str, ...] = ()
    """``NAME=android:ID``, enforced unless ``flags`` says otherwise; one name may come several times."""
    apps: tuple[str, ...] = ()
    """``android:ID``, on the device asked about, or on all devices of the user."""
    without_apps: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """``BAN=enforce``, for everybody."""
    unknowns: tuple[str, ...] = ()
    """``stale=deny``, by every way in."""

    def __bool__(self) -> bool:
        """Whether anything is otherwise."""
        return any((self.bans, self.apps, self.without_apps, self.flags, self.unknowns))


def policy_if(version: PolicyVersion, wanted: WhatIf) -> PolicyVersion:
    """The policy with these bans, flags and settings. Raises ``InvalidValue`` as the edits do."""
    _see_few(wanted.bans, wanted.flags, wanted.unknowns)
    named: dict[str, list[str]] = {}
    for written in wanted.bans:
        name, text = _split(written, "a ban", "TikTok=android:com.zhiliaoapp.musically")
        named.setdefault(name, []).append(text)
    for name, texts in named.items():
        matchers = tuple(matcher_from_text(MatcherKind.ID, text) for text in texts)
        version = add_ban(version, Ban(name, matchers, flag=Flag.ENFORCE))
    for written in wanted.flags:
        name, word = _split(written, "a flag", "TikTok=enforce")
        version = set_flag(version, name, Flag(_one_of(word, Flag)))
    for written in wanted.unknowns:
        name, word = _split(written, "a setting for unknowns", "stale=deny")
        version = set_unknown(version, name, Setting(_one_of(word, Setting)))
    return version


def record_if(record: PersonRecord, wanted: WhatIf, device_id: str, now: float) -> PersonRecord:
    """The record with apps more or less; ``device_id`` empty: on all devices of the person. Raises ``InvalidValue``."""
    _see_few(wanted.apps, wanted.without_apps)
    more = tuple(_app(each) for each in wanted.apps)
    fewer = tuple(_app(each) for each in wanted.without_apps)
    if not more and not fewer:
        return record
    if device_id:
        present = record.devices.get(device_id) or DeviceEvidence(device_id, BindingState.BOUND)
        return replace(record, devices={**record.devices, device_id: _device_if(present, more, fewer, now)})
    if more and not record.devices and not record.unbound:
        raise InvalidValue(f"{record.person_id} has no device: name one to think an app onto")
    return replace(
        record,
        devices={name: _device_if(each, more, fewer, now) for name, each in record.devices.items()},
        unbound=tuple(_device_if(each, more, fewer, now) for each in record.unbound),
    )


def _device_if(device: DeviceEvidence, more: Sequence[App], fewer: Sequence[App], now: float) -> DeviceEvidence:
    sources = device.sources
    if more and not sources:
        # It shows an app and proves no absence: what was not known of the device stays unknown.
        sources = (SourceEvidence(THOUGHT, "", Scope.DEVICE, Naming.IDENTIFIER, now, FOREVER, ()),)
    return replace(
        device,
        sources=tuple(replace(each, apps=(*_without(each.apps, (*more, *fewer)), *more)) for each in sources),
        tombstones=tuple(each for each in device.tombstones if not _among(each.app, fewer)),
    )


def _without(apps: Iterable[App], gone: Sequence[App]) -> tuple[App, ...]:
    return tuple(app for app in apps if not _among(app, gone))


def _among(app: App, others: Sequence[App]) -> bool:
    return any(
        app.platform is each.platform and folded_id(app.platform, app.id) == folded_id(each.platform, each.id)
        for each in others
    )


def _app(written: str) -> App:
    matcher = matcher_from_text(MatcherKind.ID, written)
    if matcher.kind is not MatcherKind.ID or matcher.platform is None:
        raise InvalidValue(f"{written!r} is no single app: write its id whole, like android:com.example.app")
    return App(Platform(matcher.platform), matcher.value)


def _split(written: str, what: str, example: str) -> tuple[str, str]:
    name, equals, value = written.rpartition("=")
    if not equals or not name.strip() or not value.strip():
        raise InvalidValue(f"{written!r} is not {what}: write it like {example}")
    return name.strip(), value.strip()


def _one_of(word: str, words: Iterable[str]) -> str:
    known = [str(each) for each in words]
    if word.lower() not in known:
        raise InvalidValue(f"{word!r} is none of {', '.join(known)}")
    return word.lower()


def _see_few(*kinds: Sequence[str]) -> None:
    if any(len(each) > MOST for each in kinds):
        raise InvalidValue(f"at most {MOST} of a kind can be otherwise in one question")
