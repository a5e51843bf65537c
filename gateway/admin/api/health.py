"""Health and metrics, without a token: no names of people or devices in any of them.

The same three paths for the admin API and, as an application of their own, for workers that run without one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse

router = APIRouter(tags=["health"])

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus text exposition format."""


@dataclass(frozen=True, slots=True)
class HealthDeps:
    """What the three paths show."""

    metrics: Callable[[], str]
    """Prometheus text format."""
    alive: Callable[[], tuple[bool, dict[str, object]]]
    """False: a restart would help; and what was looked at."""
    ready: Callable[[], tuple[bool, dict[str, object]]]
    """Whether mail can be judged and forwarded, and what was looked at."""


def create_health(deps: HealthDeps) -> FastAPI:
    """An application with nothing but these paths."""
    app = FastAPI(title="Gatepost health", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.deps = deps
    app.include_router(router)
    return app


@router.get("/healthz", responses={503: {"description": "a restart would help; the body says why"}})
async def healthz(request: Request) -> JSONResponse:
    """The process lives and answers; 503 when every worker hangs."""
    alive, found = request.app.state.deps.alive()
    return JSONResponse({"status": "ok"} if alive else {"status": "hanging", **found}, 200 if alive else 503)


@router.get("/readyz", responses={503: {"description": "not ready; the body says what is missing"}})
async def readyz(request: Request) -> JSONResponse:
    """Whether mail can be judged and forwarded; 503 with what is missing otherwise."""
    ready, checks = request.app.state.deps.ready()
    return JSONResponse({"ready": ready, "checks": checks}, 200 if ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> PlainTextResponse:
    """Counters and gauges of all processes, in Prometheus' text format."""
    return PlainTextResponse(request.app.state.deps.metrics(), media_type=METRICS_TYPE)
