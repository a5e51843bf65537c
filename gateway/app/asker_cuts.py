"""What goes on after an answer to an asker, built from the settings: [authz] cuts, [haproxy] runtime and map."""

from collections.abc import Callable

from gateway.authz.command_means import CommandMeans
from gateway.authz.cutter import Cutter, Means
from gateway.authz.doveadm_means import DoveadmMeans, read_key
from gateway.authz.following import Cut, Following
from gateway.authz.haproxy_client import HaproxyClient
from gateway.authz.haproxy_feeder import MapFeeder
from gateway.authz.haproxy_map import VerdictMirror
from gateway.authz.haproxy_means import HaproxyMeans
from gateway.authz.let_in import LetIn
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.identity import IdentityRules
from gateway.observability.metrics import Metrics
from gateway.settings import CutSection, Settings

HAPROXY_REMEMBERED_SECONDS = 86_400.0
"""HAProxy's own list is read each minute; this is for one that cannot be read."""
_PART_OF = {"postfix": "postfix"}


def means_of(section: CutSection) -> Means:
    """What one of [authz] cuts says. Raises ``KeyMissing`` and ``TlsUnusable``."""
    if section.doveadm:
        return DoveadmMeans(section.doveadm, read_key(section.key_file), section.ca)
    return CommandMeans(section.command)


def following_of(
    settings: Settings,
    part: str,
    decision: DecisionPoint,
    rules: IdentityRules,
    metrics: Metrics,
    now: Callable[[], float],
    *,
    adopts: bool,
) -> Following | None:
    """For the front of one section; None: nothing goes on. Raises ``KeyMissing`` and ``TlsUnusable``."""

    def cut(askers: frozenset[str], means: Means, remembered_seconds: float) -> Cut:
        refusals = RefusalLog(RefusalPace(), decision.effects, decision.afterwards)
        cutter = Cutter(means, refusals, metrics, decision.judge)
        return Cut(askers, cutter, LetIn(decision, cutter, remembered_seconds=remembered_seconds))

    if part == "haproxy":
        clients = [HaproxyClient(url) for url in settings.haproxy.runtime]
        if not clients:
            return None
        cuts = [cut(frozenset({"haproxy"}), HaproxyMeans(clients), HAPROXY_REMEMBERED_SECONDS)]
        if not settings.haproxy.map:
            return Following(decision, rules, cuts)
        mirror = VerdictMirror(decision, now)
        feeders = [MapFeeder(client, settings.haproxy.map, mirror.words, metrics) for client in clients]
        return Following(decision, rules, cuts, mirror, feeders)
    cuts = []
    for section in settings.authz.cuts:
        askers = frozenset(each for each in section.askers if _PART_OF.get(each, "authz") == part)
        if askers:
            cuts.append(cut(askers, means_of(section), section.remembered_seconds))
    return Following(decision, rules, cuts, adopts=adopts) if cuts else None


def check_means(settings: Settings) -> None:
    """Whether all means can be made. Raises ``KeyMissing`` and ``TlsUnusable``."""
    for section in settings.authz.cuts:
        means_of(section)
