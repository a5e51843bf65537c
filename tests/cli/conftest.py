"""A served API and a command line that finds it, and somebody with a banned app."""

import time
from collections.abc import Callable, Iterator

import pytest
import structlog
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import App, Naming, Platform, Scope
from gateway.ports.store import MailDevice, Writing
from tests.support.served_control import Served, served

Gatepost = Callable[..., Result]
USER = "ann@corp.example"
TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok\x1b[31m", "30.1")
"""Its name would turn the terminal red."""


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


@pytest.fixture
def ann(api: Served) -> None:
    async def work(writing: Writing) -> None:
        for device_id in ("abc1", "abc2"):
            await writing.put_mail_device(
                MailDevice(USER, device_id, 1.0, 2.0, "Android", device_information='{"a": "b"}')
            )

    at = time.time() - 3700
    source = SourceEvidence("mdm", "s1", Scope.DEVICE, Naming.IDENTIFIER, at, 86_400.0, (TIKTOK,), full_at=at)
    device = DeviceEvidence("abc1", BindingState.BOUND, (source,), platform=Platform.ANDROID)
    unbound = DeviceEvidence("", BindingState.BOUND, (source,))
    api.control.records[USER] = PersonRecord(USER, True, (USER,), frozenset({"sales"}), {"abc1": device}, (unbound,))
    api.run(api.control.store.write(work))
