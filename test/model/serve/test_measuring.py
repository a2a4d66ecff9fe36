"""What the tests on a GPU measure with, here on a CPU and a tiny model: its counts are the server's, its shapes the real ones'."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from test.model.gpu import plain, shapes
from test.model.gpu.comparison import Comparison
from test.model.gpu.load import Load, Measured, measure
from test.model.serve.running import Server

pytestmark = pytest.mark.model

PARAMETERS = {"phi-3-mini": 3.82e9, "llama-3-8b": 8.03e9, "mistral-7b": 7.25e9}


def test_what_is_measured_is_what_the_server_counted(server: Server) -> None:
    load = Load(clients=3, requests=6, tokens=8)
    names = (
        "vllm:generation_tokens_total",
        "vllm:time_to_first_token_seconds_count",
        "vllm:time_to_first_token_seconds_sum",
    )
    before = [server.metric(name) for name in names]
    measured = measure(server.url, "tiny", load)
    tokens, requests, waited_s = (server.metric(name) - earlier for name, earlier in zip(names, before, strict=True))
    assert (measured.tokens, requests) == (tokens, load.requests) == (load.requests * load.tokens, load.requests)
    assert measured.tokens_per_s > 0
    # A client sees its first token after the server did; the median of six is at least half of the mean of the faster ones.
    assert measured.first_token_s > 0.1 * waited_s / requests


def test_a_refusal_is_an_error_and_not_a_fast_answer(server: Server) -> None:
    with pytest.raises(RuntimeError, match="404"):
        measure(server.url, "absent", Load(clients=1, requests=1, tokens=1))


def test_a_comparison_takes_the_medians_of_its_rounds() -> None:
    ours = [Measured(1, speed, first) for speed, first in ((97.0, 0.030), (98.0, 0.021), (20.0, 0.020))]
    other = [Measured(1, speed, first) for speed, first in ((100.0, 0.020), (300.0, 0.018), (90.0, 0.019))]
    compared = Comparison(ours, other)
    assert compared.throughput == pytest.approx(0.97)
    assert compared.added_s == pytest.approx(0.002)
    assert compared.added_token_s == pytest.approx(1 / 97 - 1 / 100)
    assert "throughput 0.970 (each round 0.970, 0.327, 0.222)" in str(compared)


def test_plain_vllm_gets_the_arguments_that_ours_logged() -> None:
    log = "12:00 INFO x: vLLM's arguments: --model /w --max-num-seqs 4\n12:01 INFO y: more\n"
    assert plain.arguments_of(log) == ["--model", "/w", "--max-num-seqs", "4"]


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_a_shape_has_as_many_parameters_as_the_model_it_stands_for(shape: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shapes.configuration(shape))
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(PARAMETERS[shape], rel=0.003)
