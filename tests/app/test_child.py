"""What a child process says that cannot begin: to who starts it by hand, and to a supervisor of another version."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_nobody_starts_one_by_hand() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.app.child", "worker"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gatepost: this process is started by the supervisor only: use gatepost run\n"


def test_a_supervisor_of_another_version_is_told_what_happened() -> None:
    """Somebody installed a version over the one that runs, and a child died."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        place = json.dumps(["machine", "worker-1", "run", True])
        done = subprocess.run(
            [sys.executable, "-m", "gateway.app.child", "worker"],
            capture_output=True,
            text=True,
            timeout=60,
            pass_fds=[theirs.fileno()],
            env={
                "PYTHONPATH": str(ROOT),
                "GATEPOST_LINK": str(theirs.fileno()),
                "GATEPOST_SOCKETS": "[]",
                "GATEPOST_PLACE": place,
                "GATEPOST_SETTINGS": '{"http": {"of_another_version": "secret"}}',
            },
            check=False,
        )
        ours.settimeout(10)
        message = json.loads(os.read(ours.fileno(), 10_000))
    assert done.returncode == 1
    assert message["type"] == "failed"
    assert (
        "another version of Gatepost was installed over the one that runs (http.of_another_version)"
        in (message["sentence"])
    )
    assert "restart the whole gateway" in message["sentence"]
    assert "secret" not in message["sentence"] + done.stderr
