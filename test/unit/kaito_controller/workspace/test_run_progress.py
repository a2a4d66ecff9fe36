"""How far a tuning run is: asked beside the reconciles, bounded, and believed only as far as numbers go."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from controller_runtime.resources import Object
from kaito_controller.catalog.runtimes import MODEL_RUNTIME, PUBLISHED
from kaito_controller.workspace.observe.run_progress import ANSWERED, MOST_BYTES, PERIOD, RunProgress, fetch_json
from kaito_controller.workspace.state.training_progress import PHASES, TrainingProgress, read_progress
from model_runtime.clock import Clock
from model_runtime.tune.progress import PHASES as TOLD
from model_runtime.tune.progress import Progress
from test.support.fake_clock import FakeClock

JOB: Object = {"kind": "Job", "metadata": {"name": "w", "uid": "job"}}
HALF = {"phase": "training", "step": 200, "steps": 400, "loss": 1.23456, "etaSeconds": 601.0}


def pod(uid: str = "pod", owner: str = "job", **status: Any) -> Object:
    owners = [{"uid": owner, "controller": True}]
    told = {"phase": "Pending", "podIP": "10.0.0.7", **status}
    return {"kind": "Pod", "metadata": {"name": uid, "uid": uid, "ownerReferences": owners}, "status": told}


class Slow(Executor):
    """Takes questions and answers when the test lets it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any, tuple[Any, ...]]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, fn, args))
        return future

    def answer(self) -> None:
        for future, fn, args in self.waiting:
            try:
                future.set_result(fn(*args))
            except Exception as error:
                future.set_exception(error)
        self.waiting.clear()


class Trainers:
    """Answers for all addresses, and counts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, str]] = []
        self.says: Any = HALF

    def __call__(self, host: str, port: int, path: str) -> Any:
        self.asked.append((host, port, path))
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def trainers() -> Trainers:
    return Trainers()


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def runs(clock: FakeClock, slow: Slow, trainers: Trainers) -> RunProgress:
    return RunProgress(clock, slow, trainers)


def test_a_reconcile_does_not_wait_and_the_next_one_knows(
    runs: RunProgress, slow: Slow, trainers: Trainers, clock: FakeClock
) -> None:
    assert runs.of(JOB, [pod()], MODEL_RUNTIME) == (None, clock.now() + ANSWERED)
    slow.answer()
    known, again_at = runs.of(JOB, [pod()], MODEL_RUNTIME)
    assert again_at == clock.now() + PERIOD
    assert trainers.asked == [("10.0.0.7", MODEL_RUNTIME.port, "/progress")]
    assert known is not None
    assert known.brief == "training 50 %"
    assert known.sentence == "training: step 200 of 400, loss 1.23, about 11 min left"


def test_one_run_is_asked_once_a_period_and_never_twice_at_a_time(
    runs: RunProgress, slow: Slow, trainers: Trainers, clock: FakeClock
) -> None:
    for _ in range(5):
        runs.of(JOB, [pod()], MODEL_RUNTIME)
        clock.advance((PERIOD + timedelta(seconds=1)).total_seconds())
    assert len(slow.waiting) == 1
    slow.answer()
    runs.of(JOB, [pod()], MODEL_RUNTIME)
    runs.of(JOB, [pod()], MODEL_RUNTIME)
    assert len(slow.waiting) == 1


@pytest.mark.parametrize(
    ("job", "pods", "runtime"),
    [
        (JOB, [pod()], PUBLISHED),
        (None, [pod()], MODEL_RUNTIME),
        ({"kind": "Deployment", "metadata": {"uid": "job"}}, [pod()], MODEL_RUNTIME),
        (JOB, [pod(owner="another")], MODEL_RUNTIME),
        (JOB, [pod(podIP="")], MODEL_RUNTIME),
        (JOB, [pod(phase="Succeeded")], MODEL_RUNTIME),
    ],
)
def test_nobody_else_is_ever_asked(
    job: Object | None, pods: list[Object], runtime: Any, runs: RunProgress, slow: Slow
) -> None:
    assert runs.of(job, pods, runtime) == (None, None)
    assert not slow.waiting


def test_a_trainer_that_no_longer_answers_tells_nothing(
    runs: RunProgress, slow: Slow, trainers: Trainers, clock: FakeClock
) -> None:
    runs.of(JOB, [pod()], MODEL_RUNTIME)
    slow.answer()
    assert runs.of(JOB, [pod()], MODEL_RUNTIME)[0] is not None
    trainers.says = TimeoutError()
    clock.advance(PERIOD.total_seconds())
    runs.of(JOB, [pod()], MODEL_RUNTIME)
    slow.answer()
    assert runs.of(JOB, [pod()], MODEL_RUNTIME)[0] is None


@pytest.mark.parametrize(
    "answer",
    [None, [], "training", {}, {"phase": "done"}, {"phase": "<b>mine</b>"}, {"phase": ["training"]}, {"phase": 3}],
)
def test_what_is_no_progress_says_nothing(answer: Any) -> None:
    assert read_progress(answer) is None


@pytest.mark.parametrize(
    "lie",
    [
        {"step": -1, "steps": 10**30, "loss": float("nan"), "etaSeconds": float("inf")},
        {"step": "1", "steps": {}, "loss": "low", "etaSeconds": True},
        {"step": 10**30, "steps": 1, "loss": -1, "etaSeconds": -5, "weightsBytes": -1, "fetchedBytes": 10**30},
    ],
)
def test_numbers_beyond_belief_make_no_long_message(lie: dict[str, Any]) -> None:
    known = read_progress({"phase": "training", "message": "x" * 10**6, **lie})
    assert known is not None
    assert len(known.sentence) < 120
    assert 0 <= known.percent <= 100
    assert known.loss is None


def test_weights_that_are_fetched_are_told() -> None:
    known = read_progress({"phase": "fetching", "weightsBytes": 1000, "fetchedBytes": 250})
    assert known is not None
    assert (known.brief, known.sentence) == ("fetching 25 %", "fetching: 25 % of the weights")
    assert TrainingProgress("loading").sentence == "loading"


def test_what_the_trainer_serves_is_what_is_read() -> None:
    told = Progress(Clock())
    told.begin(0, 10)
    told.stepped(5, 0.5)
    told.update(loss=2.0)
    known = read_progress(told.as_json())
    assert known is not None
    assert (known.step, known.steps, known.loss) == (5, 10, 2.0)
    assert set(PHASES) == set(TOLD) - {"done", "failed"}


@contextmanager
def serving(body: bytes, status: int = 200) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_answer_is_read_over_http() -> None:
    with serving(json.dumps(HALF).encode()) as port:
        assert fetch_json("127.0.0.1", port, "/progress") == HALF


@pytest.mark.parametrize(
    ("body", "status"), [(b"{}", 302), (b"{}", 500), (b"no json", 200), (b"[" * MOST_BYTES * 2, 200)]
)
def test_redirects_errors_and_floods_are_no_answers(body: bytes, status: int) -> None:
    with serving(body, status) as port, pytest.raises((ValueError, RecursionError)):
        fetch_json("127.0.0.1", port, "/progress")
