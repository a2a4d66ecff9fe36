"""Both engines with weights of real shape; ours against plain `vllm serve` on the same GPU, in one run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from test.model.gpu import shapes
from test.model.gpu.comparison import compare
from test.model.gpu.load import Load, measure
from test.model.serve.running import serving

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(3600)]

START_S = 1200.0
LEAST_THROUGHPUT = 0.97
MOST_ADDED_S = 0.002
LOADS = {"busy": Load(clients=64, requests=512, tokens=256), "alone": Load(clients=1, requests=32, tokens=32)}
GIB = {"phi-3-mini": 40, "llama-3-8b": 48, "mistral-7b": 48}
"""Twice the weights, because both servers are there at once, and room for both caches."""


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_our_server_is_as_fast_as_plain_vllm(
    shape: str, needs: Callable[..., None], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    needs(gib=GIB[shape], capability=(8, 0), vllm=True, disk_gib=20)
    weights = shapes.write(shape, tmp_path / "weights")
    # 0.45 of the memory each; the front's own limits out of the way.
    flags = [f"--weights={weights}", "--gpu-memory-utilization=0.45", "--max-num-seqs=64", "--dtype=bfloat16"]
    found = compare(tmp_path, flags, LOADS, {"PATH": os.environ["PATH"]}, START_S)
    for name, comparison in found.items():
        record_property(name, str(comparison))
        print(f"{shape}, {name}:\n{comparison}")
    assert found["busy"].throughput >= LEAST_THROUGHPUT
    assert found["alone"].added_s <= MOST_ADDED_S


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_the_second_engine_serves_real_shapes_on_a_gpu_too(
    shape: str, needs: Callable[..., None], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What a V100 or T4 gets; there is nothing published to compare it with, so its figures are only shown."""
    needs(gib=GIB[shape] // 2, disk_gib=20)
    weights = shapes.write(shape, tmp_path / "weights")
    flags = [f"--weights={weights}", "--engine=transformers", "--model-name=compared"]
    load = Load(clients=8, requests=16, tokens=64)
    with serving(tmp_path, *flags, start_s=START_S) as server:
        measured = measure(server.url, "compared", load)
        assert measured.tokens == load.requests * load.tokens
        assert server.metric("vllm:num_requests_running") == 0
    record_property("measured", str(measured))
    print(f"{shape}: {measured}")
