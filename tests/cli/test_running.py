"""``gatepost upgrade``: the signal goes to the gateway that holds ``data_dir``, and to nobody else."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import signal, sys
from pathlib import Path
from gateway.runtime.lock import DataDirLock
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
lock = DataDirLock(Path(sys.argv[1]))
print("held", flush=True)
print(signal.Signals(signal.sigwait([signal.SIGUSR2])).name, flush=True)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gatepost.toml"
    path.write_text(f'[gateway]\ndata_dir = "{tmp_path}"\n')
    return path


def upgrade(config: Path) -> Result:
    return CliRunner().invoke(app, ["upgrade", "--config", str(config)])


def test_the_one_that_holds_the_directory_is_told(config: Path) -> None:
    words = [sys.executable, "-c", HOLDER, str(config.parent)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            told = upgrade(config)
            assert (told.exit_code, f"(pid {holder.pid})" in told.stdout) == (0, True)
            assert holder.stdout.readline() == "SIGUSR2\n"
        finally:
            holder.kill()


def test_a_number_that_a_killed_gateway_left_is_nobody_s(config: Path) -> None:
    """It may be another program's by now, which the signal would end."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (config.parent / "gatepost.lock").write_text(f"{other.pid}\n")
        refused = upgrade(config)
        assert refused.exit_code == 1
        assert "runs here: start it with gatepost run" in refused.stderr
        assert other.poll() is None
        other.communicate(b"\n")
        assert other.returncode == 0


def test_a_number_of_another_container_is_nobody_s_here(config: Path) -> None:
    """Two containers may share the directory: the number is that of the holder where the holder is."""
    holding = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(config.parent)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with holding as holder, subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            (config.parent / "gatepost.lock").write_text(f"{other.pid}\n")
            refused = upgrade(config)
            assert refused.exit_code == 1
            assert "runs in another container or on another machine: upgrade it there" in refused.stderr
            other.communicate(b"\n")
            assert other.returncode == 0
        finally:
            holder.kill()


STARTING = """
import sys
from pathlib import Path
from gateway.app import whole
from gateway.settings import Settings

def waits(start):
    print("starting", flush=True)
    input()
    return 0

whole._supervised = waits
settings = Settings.model_validate({"gateway": {"data_dir": sys.argv[1]}, "redis": {"url": "redis://127.0.0.1:1"},
    "admin": {"listen": []}, "health": {"listen": []}, "inventory": {"listen": []}})
sys.exit(whole.run(settings, None, "control"))
"""


@pytest.mark.parametrize("early", [signal.SIGUSR2, signal.SIGHUP])
def test_a_gateway_that_is_just_starting_is_not_ended_by_a_signal_for_a_running_one(
    tmp_path: Path, early: signal.Signals
) -> None:
    words = [sys.executable, "-c", STARTING, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as starting:
        try:
            assert starting.stdout is not None
            assert starting.stdout.readline() == "starting\n"
            starting.send_signal(early)
            starting.communicate("\n", timeout=20)
            assert starting.returncode == 0
        finally:
            starting.kill()
