"""Metrics as Prometheus reads them: parsed again by the official client's parser."""

from prometheus_client.parser import text_string_to_metric_families

from gateway.observability.metrics import Metrics, merged
from gateway.observability.rendering import render


def parsed(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(render(metrics))
        for sample in family.samples
    }


def test_counters_and_gauges_with_labels() -> None:
    metrics = Metrics()
    metrics.counter("gatepost_requests_total", "Requests by their end", "command", "outcome").inc(
        "Sync", "allowed", by=3
    )
    metrics.gauge("gatepost_connections", "Open connections").set(7)
    assert parsed(metrics) == {
        ("gatepost_requests_total", (("command", "Sync"), ("outcome", "allowed"))): 3,
        ("gatepost_connections", ()): 7,
    }
    assert "# TYPE gatepost_requests_total counter" in render(metrics)
    assert "# HELP gatepost_connections Open connections" in render(metrics)


def test_label_values_of_any_kind() -> None:
    metrics = Metrics()
    hostile = '/a"b\\c\nd é'
    metrics.counter("gatepost_closed_path_total", 'With "quotes"\nand lines', "path").inc(hostile)
    assert parsed(metrics) == {("gatepost_closed_path_total", (("path", hostile),)): 1}


def test_a_series_without_labels_begins_at_zero() -> None:
    metrics = Metrics()
    metrics.counter("gatepost_cuts_total", "Cut sessions")
    metrics.counter("gatepost_refusals_total", "Refusals", "reason")
    assert parsed(metrics) == {("gatepost_cuts_total", ()): 0}


def test_the_sum_of_processes() -> None:
    snapshots = []
    for count in (2, 3):
        metrics = Metrics()
        metrics.counter("gatepost_cuts_total", "Cut sessions").inc(by=count)
        snapshots.append(metrics.snapshot())
    assert parsed(merged(snapshots)) == {("gatepost_cuts_total", ()): 5}


def test_nothing_at_all() -> None:
    assert render(Metrics()) == ""
