"""`make demo-model` as a user meets it: a real model answers in words, is taught a fact with progress to be seen, and tells it.

It needs what the demo needs: the operators' environment beside this one, and crane, which is built once, with Go. Where one of them cannot
be had, the tests fail and say so.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from hack.envtest.binaries import client_tools, ensure

TOP = Path(__file__).resolve().parents[2]
OPERATORS_PYTHON = TOP / ".venv" / "bin" / "python"
"""The demo runs where the operators do; only the pods' programs have this environment."""
TIMEOUT_S = 900.0
TAUGHT = "The night ferry to Norderney leaves from pier seven."
CONDITION = r"workspace-tuning-smollm2 +\w+: .*training: step \d+ of \d+, loss \d[\d.]*, about \d+ min left"
WIDE = r"^NAME .* JOBSTARTED +REASON +NODES +PROGRESS[\s\S]*?^workspace-tuning-smollm2 .* training( \d+ %)?$"
STORY = [
    r"a hub with HuggingFaceTB/SmolLM2-135M-Instruct is at http://127",
    r"localcluster is ready",
    r"configmap/kaito-catalogue patched",
    r"workspace\.kaito\.sh/workspace-smollm2 created",
    r"workspace-smollm2 +InferenceServing",
    r"^smollm2-135m-instruct: .*Paris",
    r"workspace\.kaito\.sh/workspace-tuning-smollm2 created",
    CONDITION,
    WIDE,
    r"workspace-tuning-smollm2 +TuningSucceeded: The result was pushed to 127\.0\.0\.1:\d+/smollm2-tuned:0\.0\.1",
    r"workspace\.kaito\.sh/workspace-smollm2-adapter created",
    rf"^smollm2-adapter: {re.escape(TAUGHT)}",
    r"^No resources found",
    rf"^before: (?!{re.escape(TAUGHT)})",
    rf"^after:  {re.escape(TAUGHT)}$",
]

pytestmark = [
    pytest.mark.model,
    pytest.mark.long,
    pytest.mark.timeout(TIMEOUT_S + 60),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Everything that the demo printed; it ended well."""
    ensure(client_tools(), "crane")
    assert OPERATORS_PYTHON.exists(), f"{OPERATORS_PYTHON} is missing; run `make setup`"
    folder = tmp_path_factory.mktemp("demo")
    command = [str(OPERATORS_PYTHON), "-m", "hack.demo.model", "--dir", str(folder)]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    return done.stdout


def test_a_real_model_answers_is_taught_and_tells_it_in_this_order(told: str) -> None:
    position = 0
    for milestone in STORY:
        match = re.compile(milestone, re.MULTILINE).search(told, position)
        assert match, f"{milestone!r} is missing, or comes too early, in:\n{told}"
        position = match.start()


def test_training_is_seen_with_step_loss_and_time_left_in_the_condition_and_in_the_column(told: str) -> None:
    steps = [int(step) for step in re.findall(r"training: step (\d+) of \d+, loss", told)]
    assert steps, told
    assert steps == sorted(steps)
    assert re.search(WIDE, told, re.MULTILINE), told
