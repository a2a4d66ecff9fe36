"""What played containers of the project's runtime image count: when, how far, and under the names that the image itself has."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hack.localcluster.actors.podwork import STEPS, Work, front_metrics, pretended_bytes, task_of, training_progress
from hack.localcluster.model_server import ModelServers
from kaito_controller.cli.progress import FETCHED, WHOLE, counted, samples
from model_runtime.clock import Clock
from model_runtime.serve.metrics import FrontMetrics
from model_runtime.tune.progress import Progress

Object = dict[str, Any]
SERVER = {"command": ["python3", "-m", "model_runtime.serve"], "args": ["--weights=hf://Qwen/Qwen3-8B@main"]}
TRAINER = {"env": [{"name": "MODEL_RUNTIME_WEIGHTS", "value": "hf://microsoft/phi-2@abc"}]}
POD: Object = {"metadata": {"name": "p", "namespace": "default", "uid": "u"}, "spec": {"containers": [SERVER]}}
FETCHING = Work("fetching", "Qwen/Qwen3-8B", began=100.0, takes_s=40.0)
TRAINING = Work("training", "microsoft/phi-2", began=100.0, takes_s=40.0)


@pytest.mark.parametrize(
    ("container", "task"),
    [
        (SERVER, ("fetching", "Qwen/Qwen3-8B")),
        (TRAINER, ("training", "microsoft/phi-2")),
        ({**SERVER, "args": ["--weights=/mnt/weights"]}, None),
        ({"command": ["accelerate", "launch"], "args": ["inference_api.py"]}, None),
        ({"name": "c"}, None),
    ],
)
def test_the_task_of_a_container_follows_from_its_command(container: Object, task: object) -> None:
    assert task_of(container) == task


@pytest.mark.parametrize(
    ("model", "parameters"),
    [("Qwen/Qwen3-8B", 8e9), ("a/SmolLM2-135M-Instruct", 135e6), ("a/Qwen2.5-0.5B", 0.5e9), ("microsoft/phi-2", 8e9)],
)
def test_a_model_weighs_what_its_name_tells(model: str, parameters: float) -> None:
    assert pretended_bytes(model) == 2 * parameters


def test_gauges_of_a_download_are_some_of_the_servers_own_and_grow_to_the_whole() -> None:
    begun, half, done = (front_metrics(FETCHING, now, ready=False) for now in (100.0, 120.0, 999.0))
    shares = [samples(text, (FETCHED, WHOLE))[FETCHED] / 16e9 for text in (begun, half, done)]
    own = {family.name: family.type for family in FrontMetrics().registry.collect()}

    assert shares == [0.0, 0.5, 1.0]
    assert {f.name: f.type for f in text_string_to_metric_families(half)}.items() <= own.items()


def test_progress_of_a_training_has_the_trainers_own_keys_and_comes_to_its_end() -> None:
    begun, half, done = (training_progress(TRAINING, now) for now in (100.0, 120.0, 999.0))

    assert set(half) == set(Progress(Clock()).as_json())
    assert [said["step"] for said in (begun, half, done)] == [0, STEPS // 2, STEPS]
    assert begun["loss"] is None
    assert half["loss"] > done["loss"]
    assert half["etaSeconds"] == pytest.approx(20.0)
    assert counted({"training": half}) == (0.5, f"step 100 of 200, loss {half['loss']:.3f}")


@pytest.fixture
def servers() -> Iterator[ModelServers]:
    running = ModelServers(lambda resource, namespace, name: POD if resource == "pods" else None, lambda: 110.0)
    running.start()
    yield running
    running.stop()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as reply:
        return str(reply.read().decode())


def refusal(url: str) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(url)
    with refused.value as reply:
        return reply.code, reply.read().decode()


def test_a_pod_tells_how_far_its_download_is_until_it_serves_and_then_that_all_is_here(servers: ModelServers) -> None:
    assert servers.backend("pods", "default", "p", "5000") is None
    servers.work(POD, FETCHING)
    url = servers.backend("pods", "default", "p", "5000")
    assert "model_runtime_weights_fetched_bytes 4000000000.0" in get(f"{url}/metrics")
    assert refusal(f"{url}/health") == (503, '{"detail": "fetching Qwen/Qwen3-8B"}')
    assert refusal(f"{url}/progress")[0] == 503
    servers.open(POD)
    text = get(f"{url}/metrics")
    assert re.search(r"^model_runtime_ready 1\.0$", text, re.M)
    assert "vllm:num_requests_running" in text
    servers.close("u")
    assert servers.backend("pods", "default", "p", "5000") is None


def test_a_trainer_tells_its_steps_and_nothing_of_a_download(servers: ModelServers) -> None:
    servers.work(POD, TRAINING)
    url = servers.backend("pods", "default", "p", "5000")
    assert json.loads(get(f"{url}/progress"))["step"] == STEPS // 4
    assert refusal(f"{url}/metrics")[0] == 503
