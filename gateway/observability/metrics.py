"""Counters as plain integers, cheap enough for the request path.

Each process has one ``Metrics``. Workers send snapshots to the supervisor, which sums them; ``/metrics`` renders
the sums once (Prometheus text format). Gauges are summed as well, so a gauge means "over all processes".
"""

from collections.abc import Iterable, Mapping


class Family:
    """One counter or gauge with labels. ``values`` may be incremented directly where speed matters."""

    __slots__ = ("help", "kind", "labels", "name", "values")

    def __init__(self, name: str, text: str, labels: tuple[str, ...], kind: str) -> None:
        self.name = name
        self.help = text
        self.labels = labels
        self.kind = kind
        self.values: dict[tuple[str, ...], float] = {}

    def inc(self, *labels: str, by: float = 1) -> None:
        """Add to the value of these label values, in the order of ``labels``."""
        self.values[labels] = self.values.get(labels, 0) + by

    def set(self, value: float, *labels: str) -> None:
        """Set a gauge."""
        self.values[labels] = value

    def get(self, *labels: str) -> float:
        """The present value; 0 when never touched."""
        return self.values.get(labels, 0)


class Metrics:
    """The families of one process, by name."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}

    def counter(self, name: str, text: str, *labels: str) -> Family:
        """The counter of that name, made on first use. Names follow Prometheus: ``gatepost_…_total``."""
        return self._family(name, text, labels, "counter")

    def gauge(self, name: str, text: str, *labels: str) -> Family:
        """The gauge of that name, made on first use."""
        return self._family(name, text, labels, "gauge")

    def _family(self, name: str, text: str, labels: tuple[str, ...], kind: str) -> Family:
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = Family(name, text, labels, kind)
        return family

    def snapshot(self) -> list[dict[str, object]]:
        """All families as plain values, fit for JSON."""
        return [
            {
                "name": family.name,
                "help": family.help,
                "labels": list(family.labels),
                "kind": family.kind,
                "values": [[list(labels), value] for labels, value in family.values.items()],
            }
            for family in self.families.values()
        ]


def merged(snapshots: Iterable[Iterable[Mapping[str, object]]]) -> Metrics:
    """The sum of several processes' snapshots."""
    total = Metrics()
    for snapshot in snapshots:
        for row in snapshot:
            labels = tuple(str(label) for label in row["labels"])  # type: ignore[attr-defined]
            family = total._family(str(row["name"]), str(row["help"]), labels, str(row["kind"]))
            for values, number in row["values"]:  # type: ignore[attr-defined]
                family.inc(*values, by=number)
    return total
