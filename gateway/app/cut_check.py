"""For ``gatepost check``: do the means answer by which sessions at askers are ended? Nobody is cut by this."""

import os

from gateway.app.asker_cuts import means_of
from gateway.authz.cutter import CutFailed
from gateway.authz.doveadm_means import DoveadmMeans
from gateway.authz.haproxy_client import HaproxyClient
from gateway.authz.haproxy_means import HaproxyMeans
from gateway.domain.errors import DomainError
from gateway.settings import CutSection, Settings

Found = tuple[str, str, str]
"""What, state, sentence."""


async def cuts_found(settings: Settings) -> list[Found]:
    """One row for each of [authz] cuts and [haproxy] runtime; never raises."""
    rows = [await _cut(section) for section in settings.authz.cuts]
    return rows + [await _runtime(url, settings.haproxy.map) for url in settings.haproxy.runtime]


async def _cut(section: CutSection) -> Found:
    what = f"cut {', '.join(section.askers)}"
    try:
        means = means_of(section)
    except DomainError as error:
        return what, "failed", str(error)
    if not isinstance(means, DoveadmMeans):
        program = section.command[0]
        if os.access(program, os.X_OK):
            return what, "ok", f"by {program}, which was not run"
        return what, "failed", f"[authz] cuts: {program} cannot be run by this user: write a program's whole path"
    try:
        there = await means.who()
    except CutFailed as error:
        return what, "failed", f"[authz] cuts: {section.doveadm}: {error}"
    finally:
        await means.close()
    return what, "ok", f"{section.doveadm} answers; users connected: {len({each.user for each in there})}"


async def _runtime(url: str, path: str) -> Found:
    client = HaproxyClient(url)
    try:
        there = await HaproxyMeans([client]).sources()
        known = await client.say(f"show map {path}.alive") if path else ""
    except CutFailed as error:
        return "cut haproxy", "failed", f"[haproxy] runtime {error}"
    if "Unknown map" in known:
        return "cut haproxy", "failed", f"[haproxy] map: HAProxy at {url} knows no {path}.alive: take over the example"
    return "cut haproxy", "ok", f"{url} answers; clients connected: {len(there)}"
