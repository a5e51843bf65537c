"""Health and metrics: no token, no names."""

import httpx

from tests.support.control import Control


async def test_health_needs_no_token(control: Control) -> None:
    transport = httpx.ASGITransport(control.api())
    async with httpx.AsyncClient(transport=transport, base_url="http://gatepost") as api:
        assert (await api.get("/healthz")).json() == {"status": "ok"}
        control.is_alive = False
        hanging = await api.get("/healthz")
        assert (hanging.status_code, hanging.json()) == (503, {"status": "hanging", "hanging": ["worker-1"]})
        ready = await api.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "checks": {"store": True}})
        control.is_ready = False
        assert (await api.get("/readyz")).status_code == 503
        metrics = await api.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "gatepost_up 1" in metrics.text
