"""How long to wait before what died is started again: longer each time, short again after a good life."""

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 10.0
GOOD_LIFE_SECONDS = 30.0


class BackOff:
    """The waits of one child."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS

    def after(self, lived_seconds: float) -> float:
        """Seconds to wait after a life of ``lived_seconds``."""
        if lived_seconds >= GOOD_LIFE_SECONDS:
            self._next = FIRST_SECONDS
        wait, self._next = self._next, min(self._next * 2, LONGEST_SECONDS)
        return wait
