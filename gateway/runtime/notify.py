"""Tells systemd how the service stands, by the protocol of sd_notify(3); silent where nobody listens."""

import os
import socket
import time
from collections.abc import Mapping


class SystemdNotify:
    """The service's voice. Every call is one datagram and never fails."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        path = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace of unix(7).
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def ready(self, status: str) -> None:
        """Started, or done with reloading."""
        self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")

    def reloading(self) -> None:
        """Reading files again; ``ready`` must follow (Type=notify-reload wants the clock)."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Draining."""
        self._send("STOPPING=1\nSTATUS=draining")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(text.encode(), self._address)
        except OSError:
            # Nobody there, or a full queue: the service runs all the same.
            return
