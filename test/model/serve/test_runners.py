"""S2: a runner whose work has ended by a fault says so, and its jobs end with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from model_runtime.serve.engine.on_transformers.batched import BatchedRunner
from model_runtime.serve.engine.on_transformers.job import GenerationFailed, Job, Runner
from test.support.processes import wait_until
from test.support.tiny_models import VOCABULARY

pytestmark = pytest.mark.model

CACHE = {"num_blocks": 16, "page_size": 32, "max_batch_tokens": 64}
GOOD = Job(prompt=(1, 2, 3), max_new_tokens=2)


@pytest.fixture
def runner(llama: Path) -> Iterator[BatchedRunner]:
    made = BatchedRunner(AutoModelForCausalLM.from_pretrained(llama).eval(), [], CACHE, adapters=False)
    yield made
    made.stop()


def told(runner: Runner, job: Job) -> list[int]:
    async def run() -> list[int]:
        return [token async for piece in runner.run(job) for token in piece]

    return asyncio.run(run())


def test_a_loop_that_died_is_told_to_every_job_and_to_the_health_route(runner: BatchedRunner) -> None:
    assert len(told(runner, GOOD)) == 2
    assert runner.trouble() is None
    with pytest.raises(GenerationFailed):
        told(runner, Job(prompt=(VOCABULARY,), max_new_tokens=2))
    wait_until(lambda: runner.trouble() is not None, 20, "the loop to end")
    assert "the generation loop ended: IndexError" in str(runner.trouble())
    with pytest.raises(GenerationFailed, match="the generation loop ended"):
        told(runner, GOOD)


def test_a_runner_that_was_stopped_is_not_well(runner: BatchedRunner) -> None:
    runner.stop()
    assert runner.trouble() is not None
