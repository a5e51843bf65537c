"""A served API and a command line that finds it."""

from collections.abc import Callable, Iterator

import pytest
import structlog
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from tests.support.served_control import Served, served

Gatepost = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[Served]:
    # The API's log goes nowhere: it runs in the process whose output the tests read.
    with structlog.testing.capture_logs(), served() as api:
        yield api


@pytest.fixture
def gatepost(api: Served) -> Gatepost:
    """Run a command as on another machine; standard input is no terminal."""

    def run(*words: str, expect: int = 0, environment: dict[str, str] | None = None) -> Result:
        result = CliRunner().invoke(app, words, env={**api.environment, **(environment or {})})
        assert result.exit_code == expect, (result.exit_code, result.stdout, result.stderr, result.exception)
        return result

    return run
