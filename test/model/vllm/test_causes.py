"""Why one of vLLM's processes died reaches the one that started it, however it was started."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from model_runtime.serve.engine.on_vllm import causes

pytestmark = [pytest.mark.vllm_cpu, pytest.mark.timeout(600)]

REASON = "To serve at least one request with 4096 tokens, more memory is needed"


def dies() -> None:
    """As a worker and, because of it, the engine's process end; both begin with the configuration."""
    from vllm.config.logging import LoggingConfig
    from vllm.logger import configure_logging, init_logger

    configure_logging(LoggingConfig())

    log = init_logger("vllm.v1.engine.core")
    log.info("all is well")
    try:
        raise ValueError(REASON)
    except ValueError as error:
        log.exception("WorkerProc failed to start.")
        try:
            raise RuntimeError("see the root cause in the log") from error
        except RuntimeError:
            log.exception("EngineCore failed to start.")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_first_reason_is_read(method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(causes.VARIABLE, "")
    monkeypatch.delenv(causes.VARIABLE)
    file = causes.listen()
    assert causes.first(file) is None
    child = multiprocessing.get_context(method).Process(target=dies)
    child.start()
    child.join(300)
    assert child.exitcode == 0
    assert causes.first(file) == REASON


def test_a_configuration_of_ones_own_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(causes.VARIABLE, "/mine.json")
    assert causes.first(causes.listen()) is None
    assert os.environ[causes.VARIABLE] == "/mine.json"
