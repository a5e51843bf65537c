"""Processes hold in memory what they work with, and begin without reading the rest, or PostgreSQL's driver."""

import subprocess
import sys

NOT_NEEDED = (
    *("aiosmtpd", "aiosmtplib", "alembic", "envoy", "fastapi", "google.protobuf", "grpc", "httpx", "starlette"),
    *("exchangelib", "requests", "typer", "uvicorn", "asyncpg", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql"),
)


def test_the_client_of_exchange_is_loaded_by_the_first_notice_that_goes_there() -> None:
    code = "import sys, gateway.app.notice_way; print({'exchangelib', 'requests'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "set()"


def test_a_worker_loads_no_library_of_the_control_process() -> None:
    code = f"import sys, gateway.app.worker; print([each for each in {NOT_NEEDED} if each in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_the_supervisor_makes_no_child_wait_for_libraries_that_it_does_not_use() -> None:
    needless = (*NOT_NEEDED, "redis", "sqlalchemy", "pyroaring", "numpy")
    code = f"import sys, gateway.app.whole; print([each for each in {needless} if each in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_the_command_that_phones_wait_for_loads_no_other_and_no_front() -> None:
    """From ``gatepost run`` to the first child all is one after the other."""
    needless = ("gateway.cli.status", "gateway.cli.tree", "gateway.proxies", "gateway.authz.front", "httpx")
    code = (
        "import sys; from gateway.cli import main; import gateway.app.whole; main._run_alone(); "
        f"print([each for each in {needless} if each in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
