"""What takes long is done once: each vLLM reads all arguments in one process, one server of a tiny Llama answers all questions."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from test.model.serve.running import Server, serving

collect_ignore_glob = [] if importlib.util.find_spec("openai") else ["test_*.py"]
"""Where only the operators' environment is there, these cannot even be read."""
START_S = 900.0
"""vLLM's imports are three processes' worth of half a minute each, and more on a busy machine."""
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""1 GiB of cache, and no core for one alone."""
FLAGS = ("--engine=vllm", "--model-name=tiny", "--dtype=float32", "--vllm.enforce-eager")


@pytest.fixture(scope="session")
def llama() -> Path:
    from test.support import tiny_models

    return tiny_models.folder("llama")


@pytest.fixture(scope="session")
def mount(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter mount with two adapters of different rank."""
    from test.model.serve.lora import make_adapter

    root = tmp_path_factory.mktemp("adapter")
    make_adapter(llama, root / "first", 1)
    make_adapter(llama, root / "second", 2, rank=12)
    return root


@pytest.fixture(scope="session")
def served(llama: Path, mount: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """vLLM with both adapters, four requests at a time and four that may wait."""
    limits = ["--max-num-seqs=4", "--max-waiting-requests=4", "--drain-timeout-s=60", "--allow-runtime-adapters"]
    flags = [f"--weights={llama}", f"--adapters-folder={mount}", *limits, *FLAGS]
    with serving(tmp_path_factory.mktemp("vllm"), *flags, environment=ENVIRONMENT, start_s=START_S) as server:
        yield server
