"""Metrics as Prometheus' text format 0.0.4, by the official client's exposition of a custom collector."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.observability.metrics import Family, Metrics


class _Families(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        for _, family in sorted(self._metrics.families.items()):
            yield _exposed(family)


def render(metrics: Metrics) -> str:
    """All families with their values, ordered by name."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(metrics))
    return generate_latest(registry).decode("utf-8")


def _exposed(family: Family) -> Metric:
    shape = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    exposed = shape(family.name, family.help, labels=family.labels)
    for values, number in sorted(family.values.items()):
        exposed.add_metric(values, number)
    if not family.labels and not family.values:
        # Without labels there is one series, and it begins at 0.
        exposed.add_metric((), 0)
    return exposed
