"""Health and metrics, without a token: no names of people or devices in any of them."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse

from gateway.admin.api.deps import Deps

router = APIRouter(tags=["health"])

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus text exposition format."""


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives and answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "not ready; the body says what is missing"}})
async def readyz(deps: Deps) -> JSONResponse:
    """Whether mail can be judged and forwarded; 503 with what is missing otherwise."""
    ready, checks = deps.ready()
    return JSONResponse({"ready": ready, "checks": checks}, 200 if ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(deps: Deps) -> PlainTextResponse:
    """Counters and gauges of all processes, in Prometheus' text format."""
    return PlainTextResponse(deps.metrics(), media_type=METRICS_TYPE)
