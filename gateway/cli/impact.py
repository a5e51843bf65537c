"""``gatepost impact``: whether previews can be believed."""

from typing import Annotated

import typer

from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import Failed
from gateway.cli.output import Rows

app = group("What previews are computed from.")


@app.callback()
def impact() -> None:
    """What previews are computed from."""


@command(app, "verify")
def verify(
    desk: Desk,
    sample: Annotated[int, typer.Option("--sample", min=1, max=100_000, help="How many people, at random.")] = 1000,
) -> None:
    """Hold the index of the fleet against the decision itself, for people chosen at random.

    Every device and every way in is judged twice. A difference is a defect:
    exit 1, and previews are not to be trusted until it is repaired.

    \b
    Examples:
      gatepost impact verify
      gatepost impact verify --sample 10000 --json
    """
    with desk.api("judging everybody of the sample") as api:
        answer = api.get("/impact/verify", sample=sample)
    rows = [
        (each["person"], each["device"] or "all", each["protocol"], each["index_refuses"], each["decision_refuses"])
        for each in answer["differences"]
    ]
    text = f"{answer['decisions']:,} decisions about {answer['people']:,} people: {answer['different']:,} differ"
    if answer["changed"]:
        text += f"; {answer['changed']:,} people changed meanwhile and were left out"
    columns = ("person", "device", "protocol", "index refuses", "decision refuses")
    desk.show(answer, text=text, rows=Rows(columns, rows) if rows else None)
    if answer["different"]:
        raise Failed(
            "the index of the fleet is wrong: report it, delete impact.index in data_dir and restart the gateway"
        )
