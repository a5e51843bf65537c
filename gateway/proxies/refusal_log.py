"""What is written down of refusals and cuts, and how the app is called in them; the same for every protocol."""

import structlog

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Verdict
from gateway.proxies.refusal_pace import RefusalPace

log = structlog.get_logger()


class RefusalLog:
    """One line for all of a device's refusals of a kind within a minute."""

    def __init__(self, pace: RefusalPace) -> None:
        self._pace = pace

    def write_down(self, event: str, request: AccessRequest, verdict: Verdict) -> None:
        """Write a line, if one is due. ``event``: ``refused`` or ``cut``."""
        kind = f"{event}:{verdict.reason.value}"
        count = self._pace.lines_due(request.login, request.device_id or request.protocol.value, kind)
        if not count:
            return
        log.info(
            event,
            login=request.login,
            device=request.device_id or verdict.device_id,
            protocol=request.protocol.value,
            command=request.action,
            reason=verdict.reason.value,
            ban=verdict.ban,
            app=verdict.app.id if verdict.app else "",
            policy_version=verdict.policy_version,
            client=request.client_address,
            times=count,
        )


def app_named(verdict: Verdict) -> str:
    """The app as its owner finds it on the phone, and as a help desk finds it in a list."""
    app_id = verdict.app.id if verdict.app else ""
    # Many inventories know no names, or repeat the id: then the ban's own name it is.
    name = verdict.app.name if verdict.app and verdict.app.name not in ("", app_id) else verdict.ban
    return f"{name} ({app_id})" if name and app_id and name != app_id else name or app_id
