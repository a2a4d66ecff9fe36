"""What vLLM cannot start with is one sentence, and an engine of it that dies is told by the health route."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from test.model.serve.lora import make_adapter
from test.model.serve.running import failed_start, serving
from test.model.vllm.conftest import ENVIRONMENT, FLAGS, START_S
from test.model.vllm.test_served import LONG
from test.support import tiny_models

pytestmark = [pytest.mark.vllm_cpu, pytest.mark.timeout(2 * START_S)]


def refused(folder: Path, *flags: str) -> str:
    """The sentence with which a start ends."""
    message = failed_start(folder, *flags, *FLAGS, environment=ENVIRONMENT, start_s=START_S)
    assert "\n" not in message
    return message


def test_a_context_that_the_model_has_not_is_one_sentence(llama: Path, tmp_path: Path) -> None:
    message = refused(tmp_path, f"--weights={llama}", "--max-model-len=100000")
    assert "vLLM cannot serve it" in message
    assert "100000" in message
    assert "lower --max-model-len" in message


def test_a_context_that_the_memory_does_not_hold_is_one_sentence(llama: Path, tmp_path: Path) -> None:
    """vLLM finds it in another process, of which its own server would only say that it died."""
    message = refused(tmp_path, f"--weights={llama}", "--vllm.num-gpu-blocks-override=2")
    assert message.startswith(f'--weights="{llama}": vLLM cannot serve it (To serve at least one request')
    assert message.endswith("lower --max-model-len, use more GPU memory, or correct the section `vllm` of --config.")


def test_an_adapter_of_another_model_is_refused_by_name(llama: Path, tmp_path: Path) -> None:
    make_adapter(tiny_models.folder("phi3"), tmp_path / "adapters" / "foreign", 1)
    message = refused(tmp_path, f"--weights={llama}", f"--adapters-folder={tmp_path / 'adapters'}")
    assert message.startswith('adapters="foreign": vLLM cannot load them (')
    assert message.endswith("use adapters that were trained on this model.")


def test_a_missing_weight_file_is_told_before_vllm_is_started(llama: Path, tmp_path: Path) -> None:
    shutil.copytree(llama, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    assert "lacks model.safetensors; copy the files" in refused(tmp_path, f"--weights={tmp_path / 'model'}")


def test_an_engine_that_dies_is_unhealthy_and_its_requests_end(llama: Path, tmp_path: Path) -> None:
    with (
        serving(tmp_path, f"--weights={llama}", *FLAGS, environment=ENVIRONMENT, start_s=START_S) as server,
        ThreadPoolExecutor(1) as client,
    ):
        running = client.submit(server.post, "/v1/completions", LONG)
        server.process.wait_for(lambda: server.metric("vllm:num_requests_running") == 1, 60, "the request to run")
        for child in psutil.Process(server.process.pid).children(recursive=True):
            if "resource_tracker" not in " ".join(child.cmdline()):
                child.kill()
        ill = server.process.wait_for(
            lambda: next((answer for answer in [server.get("/health")] if answer.status != 200), None), 60, "503"
        )
        assert (ill.status, ill.json["detail"]) == (503, "vLLM's engine has ended; its log says why")
        assert server.metric("model_runtime_ready") == 0
        assert running.result().status >= 500
