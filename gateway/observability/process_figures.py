"""What this process costs: processor time, memory, and since when it lives, by its name (``control``, ``worker-1``).

Which of them eats a core, grows, or is started again and again is seen by these.
"""

import os
import time

from gateway.observability.metrics import Metrics


class ProcessFigures:
    """One per process."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        """``name`` is the process's own."""
        self._metrics = metrics
        self._name = name
        self._began_at = time.time()

    def gauge(self) -> None:
        """Set the figures as they are now."""
        counter, gauge = self._metrics.counter, self._metrics.gauge
        # Cumulative for this life of the process; the control process adds up the lives of a worker.
        cpu = counter("gatepost_process_cpu_seconds_total", "Processor time", "process")
        cpu.values[(self._name,)] = round(time.process_time(), 3)
        gauge("gatepost_process_resident_memory_bytes", "Memory in use", "process").set(_resident(), self._name)
        gauge("gatepost_process_start_time_seconds", "When the process began", "process").set(
            round(self._began_at, 3), self._name
        )


def _resident() -> int:
    """0 where the system does not say (proc(5))."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
