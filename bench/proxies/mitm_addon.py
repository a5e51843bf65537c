"""What mitmproxy runs: lets a request through if its DeviceId is in a file. Runs in mitmproxy's own environment."""

import os
from pathlib import Path

from mitmproxy import http

ALLOWED = frozenset(Path(os.environ["ALLOWED_DEVICES"]).read_text().split())


def requestheaders(flow: http.HTTPFlow) -> None:
    """Judge as soon as the head is there, and stream the body."""
    if flow.request.query.get("DeviceId", "").lower() not in ALLOWED:
        flow.response = http.Response.make(403)
    flow.request.stream = True


def responseheaders(flow: http.HTTPFlow) -> None:
    """Stream the answer."""
    if flow.response is not None:
        flow.response.stream = True
