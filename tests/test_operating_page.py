"""``docs/operating.md`` names every event that is logged and every metric, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "operating.md").read_text("utf-8")
LEVELS = frozenset({"info", "warning", "error", "exception"})
"""What is logged unless somebody asks for more."""


def calls() -> Iterator[ast.Call]:
    """Every call in the gateway's code; the demo logs nothing."""
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        if "demo" not in path.parts and path.name != "demo.py":
            yield from (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))


def texts(node: ast.expr) -> list[str]:
    """The texts that an expression may be."""
    if isinstance(node, ast.IfExp):
        return [*texts(node.body), *texts(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def logs(call: ast.Call) -> bool:
    """Whether a call logs: by ``log``, by one of its methods under the name ``say``, or by ``Refusing.write_down``."""
    function = call.func
    if isinstance(function, ast.Attribute):
        by_log = isinstance(function.value, ast.Name) and function.value.id == "log" and function.attr in LEVELS
        return by_log or function.attr == "write_down"
    return isinstance(function, ast.Name) and function.id == "say"


def named_in(section: str) -> list[str]:
    """The names in the first column of a section's table."""
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    own = next(part for part in text if part.startswith(f"{section}\n"))
    cells = re.findall(r"^\| (`[^|]*) \|", own, flags=re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)]


def test_every_event_and_no_other() -> None:
    events = {event for call in calls() if call.args and logs(call) for event in texts(call.args[0])}
    assert len(events) > 40
    assert sorted(named_in("Logs")) == sorted(events)


def metric_names(text: str) -> set[str]:
    """The metrics that a text names."""
    return set(re.findall(r"\bgatepost_[a-z_]+[a-z]", text))


def test_alarms_are_made_of_metrics_that_there_are() -> None:
    rules = (ROOT / "config" / "examples" / "prometheus" / "gatepost.rules.yml").read_text("utf-8")
    known = set(named_in("Metrics"))
    assert metric_names(rules) <= known
    alarms = PAGE.partition("**Alarms**")[2].partition("## Health")[0]
    assert metric_names(alarms) == metric_names(rules)


def test_every_metric_and_no_other() -> None:
    first = {text for call in calls() if call.args for text in texts(call.args[0])}
    metrics = {text for text in first if re.fullmatch(r"gatepost_[a-z_]+", text)}
    assert len(metrics) > 10
    assert sorted(named_in("Metrics")) == sorted(metrics)
