"""``gatepost upgrade``: the signal goes to the gateway that holds ``data_dir``, and to nobody else."""

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
