"""What is written down of refusals and cuts; the same for every protocol."""

from functools import partial

import structlog

from gateway.decision.afterwards import Afterwards
from gateway.decision.effects import EffectLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Verdict
from gateway.observability.logging import happened

log = structlog.get_logger()


class RefusalLog:
    """One line for all of a device's refusals of a kind within a minute."""

    def __init__(
        self, pace: RefusalPace, effects: EffectLog | None = None, afterwards: Afterwards | None = None
    ) -> None:
        """``effects``: where they are noted for the audit log as well; ``afterwards``: what puts off what can wait."""
        self._pace = pace
        self._effects = effects
        self._afterwards = afterwards or Afterwards()

    def write_down(self, event: str, request: AccessRequest, verdict: Verdict, asker: str = "") -> None:
        """Write a line, if one is due. ``event``: ``refused`` or ``cut``. ``asker``: who refuses it, if not we."""
        self._afterwards.write(partial(self._write, event, request, verdict, asker))

    def _write(self, event: str, request: AccessRequest, verdict: Verdict, asker: str, at: float | None) -> None:
        if self._effects is not None:
            self._effects.record(event, request, verdict, asker, at)
        kind = f"{event}:{asker}:{verdict.reason.value}"
        count = self._pace.lines_due(request.login, request.device_id or request.protocol.value, kind)
        if not count:
            return
        log.info(
            event,
            login=request.login,
            device=request.device_id or verdict.device_id,
            identity=request.strength.word,
            protocol=request.protocol.value,
            command=request.action,
            reason=verdict.reason.value,
            ban=verdict.ban,
            app=verdict.app.id if verdict.app else "",
            policy_version=verdict.policy_version,
            client=request.client_address,
            times=count,
            **shown_in(request),
            **({"asker": asker} if asker else {}),
            **happened(at),
        )


def shown_in(request: AccessRequest) -> dict[str, str]:
    """What was shown beside the password, by the ID of each, for a log line."""
    shown = {} if request.credential is None else {"credential": request.credential.id}
    return shown if request.certificate is None else {**shown, "certificate": request.certificate.id}
