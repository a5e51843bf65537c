"""Health of a set of workers without an admin API: /healthz, /readyz and /metrics on ``[health] listen``.

Also what the control process looks at for its own readiness.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from gateway import __version__
from gateway.admin.api.health import HealthDeps, create_health
from gateway.app.parts import server_tls_of
from gateway.app.serving import Serving
from gateway.network.client_certificate import list_ends_at
from gateway.network.tls import TlsUnusable, expires_at
from gateway.observability.metrics import Metrics, merged
from gateway.observability.rendering import render
from gateway.ports.store import Store, StoreUnavailable
from gateway.runtime.board import WorkerBoard
from gateway.runtime.link import Message, SupervisorLink
from gateway.settings import Settings

LOOK_WITHIN_SECONDS = 5.0
CERTIFICATES_EVERY_SECONDS = 60.0


async def store_trouble(store: Store) -> dict[str, str]:
    """What is wrong with the store, as ``WorkerBoard.ready`` takes it; nothing when it answers."""
    try:
        async with asyncio.timeout(LOOK_WITHIN_SECONDS), store.read() as reading:
            await reading.sequence()
    except StoreUnavailable as error:
        return {"store": str(error)}
    except TimeoutError:
        return {"store": f"the store does not answer within {LOOK_WITHIN_SECONDS:.0f} s"}
    return {}


class CertificateDates:
    """When the certificates of the listeners end, by their files; looked at again once a minute."""

    def __init__(self, settings: Settings, monotonic: Callable[[], float] = time.monotonic) -> None:
        tls = settings.tls
        shown = [tls.certificate, *(each.certificate for each in tls.names)] if tls.certificate else []
        self._paths = tuple(dict.fromkeys(shown))
        self.revocation_list = tls.client_crl if tls.client_ca else ""
        """The file with the lists of revoked client certificates; empty: there is none."""
        self._list_ends_at: float | None = None
        self._monotonic = monotonic
        self._looked_at = float("-inf")
        self._ends: dict[str, float] = {}

    @property
    def list_ends_at(self) -> float | None:
        """When the first of those lists ends, epoch seconds; None: nobody knows, or there is none."""
        self.ends()
        return self._list_ends_at

    def ends(self) -> Mapping[str, float]:
        """Epoch seconds by file; one that cannot be read is left out (the log says why it was not reloaded)."""
        if self._monotonic() - self._looked_at > CERTIFICATES_EVERY_SECONDS:
            self._looked_at = self._monotonic()
            self._ends = {}
            self._list_ends_at = list_ends_at(self.revocation_list) if self.revocation_list else None
            for path in self._paths:
                with suppress(TlsUnusable):
                    self._ends[path] = expires_at(path)
        return self._ends

    def gauge(self, metrics: Metrics) -> None:
        """Set the figures."""
        family = metrics.gauge("gatepost_certificate_expires_timestamp_seconds", "When a certificate ends", "file")
        family.values = {(path,): ends_at for path, ends_at in self.ends().items()}


async def run_health(settings: Settings, link: SupervisorLink) -> None:
    """Serve until told to end, or until the supervisor is gone. Raises ``TlsUnusable``."""
    board = WorkerBoard()
    draining = asyncio.Event()
    bound = link.sockets("health")
    tls = server_tls_of(settings) if any(each.url.startswith("https:") for each in bound) else None
    certificates = CertificateDates(settings)

    def rendered() -> str:
        own = Metrics()
        certificates.gauge(own)
        own.gauge("gatepost_info", "1, with the version that runs", "version").set(1, __version__)
        return render(merged([board.metrics().snapshot(), own.snapshot()]))

    serving = Serving(create_health(HealthDeps(rendered, board.alive, board.ready)), bound, tls)

    def take(message: Message) -> None:
        if message.get("type") == "drain":
            draining.set()
        elif message.get("type") == "reload":
            serving.reload_tls()
        else:
            board.take(message)

    served, linked, told = (asyncio.ensure_future(work) for work in (serving.run(), link.run(take), draining.wait()))
    await serving.started()
    link.send({"type": "ready"})
    await asyncio.wait((served, linked, told), return_when=asyncio.FIRST_COMPLETED)
    serving.stop()
    await served
    for task in (linked, told):
        task.cancel()
    await asyncio.gather(linked, told, return_exceptions=True)
