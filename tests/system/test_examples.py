"""The Dockerfile and the examples beside it, looked at by the tools of those who use them."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.settings import check_complete, load_settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "config" / "examples"
UPSTREAM = {"GATEPOST_HTTP__UPSTREAM": "https://mail.internal"}


def test_the_dockerfile_by_its_linter() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "Dockerfile"], check=False, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_image_is_built_in_stages_and_runs_as_nobody_in_particular() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    stages = [line for line in lines if line.startswith("FROM ")]
    last = lines[lines.index(stages[-1]) :]
    assert len(stages) == 2
    assert all(":" in stage and ":latest" not in stage for stage in stages)
    # A number, so that Kubernetes can see that it is not root (runAsNonRoot).
    assert "USER 10001:10001" in last
    assert any(line.startswith("HEALTHCHECK ") for line in last)
    assert not any(line.startswith("RUN /opt/gatepost/bin/pip") for line in last)


def test_the_containers_settings_are_enough() -> None:
    settings = load_settings(EXAMPLES / "container" / "gatepost.toml", UPSTREAM)
    check_complete(settings, "all")
    assert settings.admin.listen == ["http://127.0.0.1:8090"]


def unit() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read(EXAMPLES / "systemd" / "gatepost.service")
    return parser["Service"]


def test_the_service_sets_settings_and_waits_for_the_end() -> None:
    service = unit()
    name, _, value = service["Environment"].partition("=")
    settings = load_settings(None, {name: value, **UPSTREAM})
    assert settings.gateway.data_dir == "/var/lib/gatepost"
    # The supervisor's own bounds: the drain, what follows it, the control process, the cache server.
    assert float(service["TimeoutStopSec"]) >= settings.gateway.drain_seconds + 5 + 15 + 5
    assert int(service["LimitNOFILE"]) >= settings.http.max_connections + settings.http.upstream_connections


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_units_by_systemd(tmp_path: Path) -> None:
    for path in (EXAMPLES / "systemd").iterdir():
        # It also looks for the program, which is not installed there.
        text = path.read_text().replace("/opt/gatepost/bin/gatepost", shutil.which("true") or "")
        (tmp_path / path.name).write_text(text)
    units = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run(["systemd-analyze", "verify", *units], check=False, capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "gatepost" in line]
    assert (done.returncode, ours) == (0, [])
