"""perdition, the IMAP and POP3 proxy of Debian's package: a process for each connection. It judges nobody."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.certificate import Certificate
from bench.machine import child, listens, need, wait_until

_PROGRAMS = {
    "imap": "perdition.imap4",
    "imaps": "perdition.imap4s",
    "pop3": "perdition.pop3",
    "pop3s": "perdition.pop3s",
}


@contextmanager
def perdition(
    core: int, directory: Path, to: dict[str, int], ports: dict[str, int], certificate: Certificate
) -> Iterator[tuple[int, ...]]:
    """The first process of each scheme. ``to``: ports of the mail server by protocol. Raises ``Missing``."""
    need("perdition.imap4", "perdition.pop3")
    with ExitStack() as stack:
        pids = []
        for scheme, program in _PROGRAMS.items():
            words = [program, "--no_daemon", "--no_lookup", "--quiet", "--bind_address", "127.0.0.1"]
            words += [
                "--config_file",
                "/dev/null",
                "--map_library",
                "",
                "--log_facility",
                str(directory / "perdition.log"),
            ]
            words += ["--username", "root", "--group", "root", "--pid_file", "", "--connection_limit", "0"]
            words += ["--listen_port", str(ports[scheme]), "--timeout", "3600"]
            words += ["--outgoing_server", "127.0.0.1", "--outgoing_port", str(to[scheme[:4]])]
            if scheme.endswith("s"):
                words += ["--ssl_cert_file", str(certificate.certificate), "--ssl_key_file", str(certificate.key)]
                words += ["--ssl_mode", "ssl_listen"]
            started = stack.enter_context(child(core, *words))
            wait_until(
                lambda started=started, scheme=scheme: listens(ports[scheme]) or started.poll() is not None,  # type: ignore[misc]
                f"{program} listens",
            )
            if started.poll() is not None:
                raise SystemExit(f"{program} ended at once: see what it says by hand: {' '.join(words)}")
            pids.append(started.pid)
        yield tuple(pids)
