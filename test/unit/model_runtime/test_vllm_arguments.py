"""What vLLM is started with. Its own parser is asked in test/model, where vLLM is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_runtime.adapters.found import Adapter, Adapters
from model_runtime.serve.engine.on_vllm import engine
from model_runtime.serve.engine.on_vllm.arguments import build_arguments, utilization
from model_runtime.serve.settings import ServeSettings

FOLDER = Path("/w")
GIB = 2**30


def adapter(name: str, rank: int, strength: float | None = None) -> Adapter:
    return Adapter(name, Path("/mnt/adapter") / name, rank, "base", strength)


def built(adapters: Adapters = Adapters(), **settings: object) -> str:  # noqa: B008 - frozen
    return " ".join(build_arguments(ServeSettings.model_validate(settings), FOLDER, adapters, "phi", {}, 0.9))


def test_a_plain_start() -> None:
    assert built() == "--model /w --served-model-name phi --dtype auto --max-num-seqs 256 --gpu-memory-utilization 0.90"


def test_adapters_become_model_names_with_room_for_the_largest_rank() -> None:
    text = built(Adapters((adapter("a", 4), adapter("b", 12))))
    assert text.endswith(
        "--enable-lora --max-lora-rank 16 --max-loras 2 --lora-modules a=/mnt/adapter/a b=/mnt/adapter/b"
    )


def test_combined_adapters_are_in_the_weights_and_not_in_the_arguments() -> None:
    assert "lora" not in built(Adapters((adapter("a", 4, 0.5), adapter("b", 4))))


def test_the_file_comes_last_so_that_it_counts() -> None:
    file = {"max-num-seqs": 8, "enable_prefix_caching": True, "enforce-eager": False, "cpu-offload-params": ["a", "b"]}
    arguments = build_arguments(ServeSettings(), FOLDER, Adapters(), "phi", file, 0.9)
    assert arguments[-7:] == [
        "--max-num-seqs",
        "8",
        "--enable-prefix-caching",
        "--no-enforce-eager",
        "--cpu-offload-params",
        "a",
        "b",
    ]


def test_a_mapping_is_json_and_what_is_taken_one_at_a_time_is_repeated() -> None:
    file = {"compilation-config": {"level": 3}, "middleware": ["a", "b"]}
    arguments = build_arguments(ServeSettings(), FOLDER, Adapters(), "phi", file, 0.9)
    assert arguments[-6:] == ["--compilation-config", '{"level": 3}', "--middleware", "a", "--middleware", "b"]


@pytest.mark.parametrize(
    ("free", "total", "share"), [(80 * GIB, 80 * GIB, 0.95), (20 * GIB, 40 * GIB, 0.48), (0, 40 * GIB, 0.0)]
)
def test_the_share_of_memory_is_what_is_free_less_600_mib(free: int, total: int, share: float) -> None:
    assert utilization(free, total) == share


@pytest.mark.parametrize(
    ("program", "share"),
    [(f"print({20 * GIB}, {40 * GIB})", 0.48), ("raise SystemExit('no GPU')", engine.DEFAULT_UTILIZATION)],
)
def test_the_memory_is_asked_for_in_a_process_that_ends(
    program: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A context of CUDA in the server's own process would stay, and take memory from vLLM's."""
    monkeypatch.setattr(engine, "_MEMORY", program)
    assert engine._share_of_memory() == share
