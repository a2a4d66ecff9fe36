"""T7: progress as JSON and as metrics, with a clock that the test moves."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from model_runtime.clock import Clock
from model_runtime.tune import endpoint
from model_runtime.tune.progress import PHASES, Progress

pytestmark = pytest.mark.model

README = Path(__file__).resolve().parents[3] / "model_runtime" / "tune" / "README.md"


class MovedClock(Clock):
    """Stands until the test moves it."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def progress(clock: MovedClock) -> Progress:
    return Progress(clock)


@pytest.fixture
def server(progress: Progress) -> Iterator[ThreadingHTTPServer]:
    server = endpoint.serve(progress, 0, "127.0.0.1")
    assert server is not None
    yield server
    server.shutdown()
    server.server_close()


def get(server: ThreadingHTTPServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, reply.headers.get("Content-Type", ""), reply.read().decode()
    finally:
        connection.close()


def test_the_time_left_follows_from_the_steps_done(progress: Progress, clock: MovedClock) -> None:
    progress.begin(0, 100)
    assert progress.read().eta_seconds is None
    clock.seconds += 30
    progress.stepped(10, 0.1)
    assert progress.read().eta_seconds == 270


def test_steps_of_an_earlier_start_do_not_shorten_the_time_left(progress: Progress, clock: MovedClock) -> None:
    progress.begin(50, 100)
    clock.seconds += 20
    progress.stepped(60, 0.6)
    assert progress.read().eta_seconds == 80
    assert progress.read().resumed_from_step == 50


def test_tokens_per_second_are_those_since_the_last_count(progress: Progress, clock: MovedClock) -> None:
    progress.begin(0, 10)
    clock.seconds += 10
    progress.counted(5000)
    clock.seconds += 5
    progress.counted(5500)
    assert progress.read().tokens_per_second == 100
    assert progress.read().tokens == 5500


def test_what_is_not_known_yet_is_null_and_no_metric(server: ThreadingHTTPServer) -> None:
    shown = json.loads(get(server, "/progress")[2])
    assert shown["phase"] == "starting"
    assert shown["loss"] is shown["etaSeconds"] is shown["evalLoss"] is None
    assert "trainer_loss" not in get(server, "/metrics")[2]


def test_progress_is_served_as_json(server: ThreadingHTTPServer, progress: Progress, clock: MovedClock) -> None:
    progress.begin(0, 40)
    clock.seconds += 4
    progress.stepped(20, 1.5)
    progress.update(loss=2.123456789, checkpoint_step=20)
    status, kind, body = get(server, "/progress")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == {
        "phase": "training",
        "step": 20,
        "steps": 40,
        "epoch": 1.5,
        "loss": 2.12346,
        "evalLoss": None,
        "learningRate": None,
        "tokens": 0,
        "tokensPerSecond": None,
        "etaSeconds": 4,
        "resumedFromStep": 0,
        "checkpointStep": 20,
        "weightsBytes": 0,
        "fetchedBytes": 0,
        "message": "",
    }


def test_metrics_say_the_same_in_the_text_of_prometheus(server: ThreadingHTTPServer, progress: Progress) -> None:
    progress.begin(0, 40)
    progress.update(loss=1.5, eval_loss=1.25, learning_rate=0.001, tokens_per_second=10.0, eta_seconds=3.0)
    status, _, body = get(server, "/metrics")
    samples = {s.name: s.value for f in text_string_to_metric_families(body) for s in f.samples if not s.labels}
    phases = {s.labels["phase"]: s.value for f in text_string_to_metric_families(body) for s in f.samples if s.labels}
    assert status == 200
    assert samples["trainer_steps"] == 40
    assert samples["trainer_loss"] == 1.5
    assert set(samples) == {f"trainer_{name}" for name in endpoint.GAUGES} | {"trainer_tokens_total"}
    assert phases == {phase: float(phase == "training") for phase in PHASES}


def test_other_paths_and_methods_are_refused(server: ThreadingHTTPServer) -> None:
    assert get(server, "/")[0] == 404
    assert get(server, "/progress", "POST")[0] == 501
    assert get(server, "/healthz")[0] == 200


def test_the_port_is_5000_and_the_local_rank() -> None:
    assert endpoint.port({}) == 5000
    assert endpoint.port({"LOCAL_RANK": "3"}) == 5003
    assert endpoint.port({"TRAINER_PORT": "6000", "LOCAL_RANK": "1"}) == 6001
    assert endpoint.port({"TRAINER_PORT": "0", "LOCAL_RANK": "1"}) == 0
    assert endpoint.host({}) == "0.0.0.0"
    assert endpoint.host({"MODEL_RUNTIME_HOST": "127.0.0.2"}) == "127.0.0.2"


def test_a_port_that_is_taken_does_not_stop_training(
    server: ThreadingHTTPServer, progress: Progress, caplog: pytest.LogCaptureFixture
) -> None:
    assert endpoint.serve(progress, server.server_port, "127.0.0.1") is None
    assert f"no progress and metrics on port {server.server_port}" in caplog.text


def test_every_metric_and_phase_is_in_the_readme() -> None:
    text = README.read_text()
    for name in [*(f"trainer_{gauge}" for gauge in endpoint.GAUGES), "trainer_tokens_total", "trainer_phase"]:
        assert f"`{name}`" in text, name
    for phase in PHASES:
        assert f"`{phase}`" in text, phase
