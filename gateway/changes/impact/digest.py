"""What an approval is for: a digest over what a preview was computed from, and over whom it would cut.

The same on every machine and after every rebuild: numbers of devices don't go in, but 64 bits that follow from person
and DeviceId; of a policy version goes in what it says, not its number and author.
"""

from collections.abc import Iterable
from hashlib import sha256
from operator import attrgetter

import numpy as np
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import numbers_of
from gateway.changes.impact.fleet import Fleet
from gateway.domain.bans import Ban, Matcher
from gateway.domain.policy import Exemption, PolicyVersion

_MATCHER = attrgetter("kind", "value", "platform", "publisher", "below_version")
_BAN = attrgetter("name", "flag", "starts_at", "ends_at", "seed", "text")
_RULE = attrgetter("flag", "protocol", "group", "percent")
_EXEMPTION = attrgetter("id", "author", "reason", "starts_at", "ends_at", "login", "device_id", "group")


def exemptions_digest(exemptions: Iterable[Exemption]) -> str:
    """SHA-256 (hex) of a policy version's exemptions: most edits leave all of them as they are."""
    text = repr([_EXEMPTION(exemption) for exemption in exemptions])
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def policy_digest(version: PolicyVersion, exemptions: str = "") -> str:
    """SHA-256 (hex) of everything that a policy version says; ``exemptions``: their digest, if it is at hand."""
    parts = (
        version.enforcement_on,
        [_ban(ban) for ban in version.bans],
        exemptions or exemptions_digest(version.exemptions),
        version.unknowns,
        version.grace,
        version.outlook_mobile,
        version.unavailable,
    )
    return sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _ban(ban: Ban) -> object:
    return (
        _BAN(ban),
        _matchers(ban.matchers),
        _matchers(ban.exceptions),
        [_RULE(rule) for rule in ban.rules],
        sorted(ban.groups),
        sorted(ban.labels.items()),
    )


def _matchers(matchers: Iterable[Matcher]) -> object:
    return [_MATCHER(matcher) for matcher in matchers]


def impact_digest(fleet: Fleet, before: str, after: str, cut: BitMap, admitted: BitMap) -> str:
    """SHA-256 (hex) over the store's life, two ``policy_digest`` and the devices that turn.

    Not over the sequence of the change log: reports come all the time, and most of them turn nobody.
    """
    whole = sha256(f"{fleet.incarnation}\0{before}\0{after}".encode())
    for turned in (cut, admitted):
        keys = np.sort(fleet.devices.key[numbers_of(turned)])
        whole.update(len(keys).to_bytes(8, "big"))
        whole.update(keys.astype(">u8").tobytes())
    return whole.hexdigest()
