"""Stages, a moment and a stop rule as options of a command: how a short form says what a policy file says."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from gateway.cli.values import moment_of, seconds_of

Stages = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        metavar="WHOM[:LENGTH]",
        help="report-only, 10%, group=NAME or everybody; after LENGTH the next one comes by itself. Repeatable.",
    ),
]
At = Annotated[str, typer.Option("--at", metavar="WHEN", help="Not before; once applied it comes then by itself.")]
StopCut = Annotated[
    int | None, typer.Option("--stop-cut-per-hour", metavar="N", min=0, help="Halt beyond so many devices cut.")
]
StopUndelivered = Annotated[
    int | None, typer.Option("--stop-undelivered", metavar="N", min=0, help="Halt beyond so many lost notices.")
]
StopWrong = Annotated[
    int | None, typer.Option("--stop-wrong", metavar="N", min=0, help='Halt beyond so many who say "this is wrong".')
]

_STAGE = re.compile(r"(?:(report-only)|(\d{1,3}(?:\.\d+)?)%|group=(.+?)|(everybody))(?::(\d[\d.]*[smhdw]))?")


@dataclass(frozen=True, slots=True)
class Rollout:
    """What the options say."""

    stages: list[str] | None = None
    at: str = ""
    cut_per_hour: int | None = None
    undelivered: int | None = None
    wrong: int | None = None

    def body(self) -> dict[str, Any]:
        """For the API; empty where the change comes at once and for everybody. Raises ``typer.BadParameter``."""
        stop = {"cut_per_hour": self.cut_per_hour, "undelivered": self.undelivered, "wrong": self.wrong}
        given = {name: number for name, number in stop.items() if number is not None}
        rollout: dict[str, Any] = {}
        if self.stages:
            rollout["stages"] = _stages(self.stages)
        elif given:
            raise typer.BadParameter("a stop rule halts before the next stage: name them with --stage")
        if given:
            rollout["stop"] = given
        if self.at:
            rollout["at"] = moment_of(self.at)
        return {"rollout": rollout} if rollout else {}


def _stages(written: list[str]) -> list[dict[str, Any]]:
    stages = [_stage(each) for each in written]
    return stages if "everybody" in stages[-1] else [*stages, {"everybody": True}]


def _stage(text: str) -> dict[str, Any]:
    found = _STAGE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no stage: write report-only:24h, 10%:4h, group=sales or everybody")
    report_only, percent, group, everybody, length = found.groups()
    stage: dict[str, Any] = {"report_only": True} if report_only else {"everybody": True} if everybody else {}
    if percent:
        stage["percent"] = float(percent)
    if group:
        stage["group"] = group
    if length:
        seconds_of(length)
        stage["for"] = length
    return stage
