"""A worker holds in memory what it works with, and begins without reading the rest, or PostgreSQL's driver."""

import subprocess
import sys

NOT_NEEDED = (
    *("aiosmtpd", "aiosmtplib", "alembic", "envoy", "fastapi", "google.protobuf", "grpc", "httpx", "starlette"),
    *("exchangelib", "requests", "typer", "uvicorn", "asyncpg", "sqlalchemy.orm"),
)


def test_a_worker_loads_no_library_of_the_control_process() -> None:
    code = f"import sys, gateway.app.worker; print([each for each in {NOT_NEEDED} if each in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
