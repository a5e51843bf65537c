"""The story, told to a test that interferes: whatever does not come out as told ends it with one sentence."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from gateway.demo.stage import Stage
from gateway.demo.story import Story, edit_in_words
from gateway.demo.values import DemoFailed, Step, length

Interference = Callable[[Stage], None]


def kill_the_gateway(stage: Stage) -> None:
    os.kill(stage.gateway.pid, signal.SIGKILL)


def lose_the_mailbox_server(stage: Stage) -> None:
    assert stage.mailbox._server is not None
    stage.mailbox._server.close()
    for conversation in stage.mailbox._conversations:
        conversation.cancel()


def turn_enforcement_off(stage: Stage) -> None:
    url, token = stage.gateway.url("admin"), stage.gateway.token
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.put(f"{url}/api/v1/flags/global", json={"on": False}, headers=headers, trust_env=False)
    assert answer.json()["in_force"]


async def told_until(name: str, interference: Interference, directory: Path) -> tuple[list[str], str]:
    """The steps that were told when somebody interferes right after ``name``, and the sentence at the end."""
    told: list[str] = []
    async with Stage(directory) as stage:

        def tell(step: Step) -> None:
            told.append(step.name)
            if step.name == name and told.count(name) == 1:
                interference(stage)

        with pytest.raises(DemoFailed) as failed:
            await Story(stage, tell).run()
    return told, str(failed.value)


async def test_a_gateway_killed_in_the_middle(tmp_path: Path) -> None:
    told, sentence = await told_until("ban_added", kill_the_gateway, tmp_path)
    assert "has ended with exit code -9" in sentence
    assert "report_cut" not in told
    assert "\n" not in sentence


async def test_a_mailbox_server_that_goes_away(tmp_path: Path) -> None:
    told, sentence = await told_until("report_only", lose_the_mailbox_server, tmp_path)
    assert told[-1] == "report_only"
    assert sentence.startswith("the phone's FolderSync was answered HTTP 50")


async def test_a_phone_that_is_not_refused_is_not_told_as_refused(tmp_path: Path) -> None:
    told, sentence = await told_until("flag_cut", turn_enforcement_off, tmp_path)
    assert told[-1] == "flag_cut"
    assert sentence == "the phone's FolderSync was answered HTTP 200, Status 1, not refused by Status 129"


def test_an_edit_that_some_worker_does_not_know_is_not_told_as_in_force() -> None:
    answer = {"summary": "ban added", "policy_version": 2, "workers": 2, "in_force_on": 2, "seconds": 0.004}
    assert edit_in_words({**answer, "in_force": True, "silent": []}) == (
        "ban added: policy version 2 in force on 2 of 2 workers after 4.0 ms"
    )
    with pytest.raises(DemoFailed, match="not in force, silent: worker-2"):
        edit_in_words({**answer, "in_force": False, "in_force_on": 1, "silent": ["worker-2"]})
    with pytest.raises(DemoFailed, match="not in force"):
        edit_in_words({**answer, "in_force": True, "workers": 0, "in_force_on": 0, "silent": []})


async def test_a_gateway_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").write_text("in the way")
    begun = time.monotonic()
    async with Stage(tmp_path) as stage:
        with pytest.raises(DemoFailed) as failed:
            await Story(stage, lambda step: None).run()
    assert str(failed.value).count("\n") == 0
    assert "data_dir" in str(failed.value)
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.00042, "0.4 ms"), (0.0099, "9.9 ms"), (0.0421, "42 ms"), (2.214, "2.21 s")]
)
def test_lengths_are_short_and_exact(seconds: float, words: str) -> None:
    assert length(seconds) == words
