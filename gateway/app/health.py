"""Health of a set of workers without an admin API: /healthz, /readyz and /metrics on ``[health] listen``.

Also what the control process looks at for its own readiness.
"""

import asyncio

from gateway.admin.api.health import HealthDeps, create_health
from gateway.app.parts import server_tls_of
from gateway.app.serving import Serving
from gateway.observability.rendering import render
from gateway.ports.store import Store, StoreUnavailable
from gateway.runtime.board import WorkerBoard
from gateway.runtime.link import Message, SupervisorLink
from gateway.settings import Settings

LOOK_WITHIN_SECONDS = 5.0


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


async def run_health(settings: Settings, link: SupervisorLink) -> None:
    """Serve until told to end, or until the supervisor is gone. Raises ``TlsUnusable``."""
    board = WorkerBoard()
    draining = asyncio.Event()
    bound = link.sockets("health")
    tls = server_tls_of(settings) if any(each.url.startswith("https:") for each in bound) else None
    serving = Serving(create_health(HealthDeps(lambda: render(board.metrics()), board.alive, board.ready)), bound, tls)

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
