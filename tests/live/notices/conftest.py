"""A real Postfix that takes notices from whoever logs in, and a Dovecot that knows them and shows what arrived."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.smtp.postfix import Postfix, start_submission
from tests.support.phone_certificates import make_certificates


@pytest.fixture(scope="session")
def postfix() -> Iterator[Postfix]:
    """The mail servers; each test has people of its own."""
    if os.geteuid() != 0 or shutil.which("dovecot") is None or shutil.which("postfix") is None:
        pytest.skip("needs root, postfix and dovecot-imapd (make servers)")
    directory = Path(tempfile.mkdtemp(prefix="gatepost-live-"))
    directory.chmod(0o755)
    server = start_submission(directory / "submission", ("notices",), make_certificates(directory))
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
