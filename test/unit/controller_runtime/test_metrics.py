"""The scrape of a controller at rest, compared with a golden file whose names, labels and bucket bounds are controller-runtime's."""

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from controller_runtime.client.exchange import Exchange
from controller_runtime.controller.controller import Controller, Request, Result
from controller_runtime.metrics.families import MAX_PRIORITY_LABELS, OVERFLOW_LABEL, go_float
from controller_runtime.metrics.registry import CertificateMetrics, ControllerMetrics, RestClientMetrics, new_registry
from controller_runtime.queue.workqueue import LOW_PRIORITY, WorkQueue
from test.support.fake_clock import FakeClock

GOLDEN = Path(__file__).parent / "golden_scrape.txt"


class Nothing:
    def reconcile(self, request):
        return Result()


@pytest.fixture
def registry():
    return new_registry(process=False)


def samples(registry, name):
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_the_scrape_equals_the_golden_file_before_and_after_one_reconcile(registry):
    clock = FakeClock()
    metrics = ControllerMetrics(registry)
    metrics.leader.labels("kaito").set(0)
    rest = RestClientMetrics(registry)
    CertificateMetrics(registry)
    controller = Controller("workspace", Nothing(), workers=4, clock=clock, metrics=metrics)
    at_rest = generate_latest(registry).decode()

    controller.enqueue(Request("ns", "a"), priority=LOW_PRIORITY)
    clock.advance(0.25)
    controller.process_next()
    controller.enqueue(Request("ns", "b"), after_s=5)
    controller.enqueue(Request("ns", "c"))
    host = "10.0.0.1:443"
    rest(Exchange("GET", host, code="401", response_bytes=200, duration_s=0.01))
    rest(Exchange("GET", host, code="200", response_bytes=2000, duration_s=0.03, retry_of="401"))
    rest(Exchange("PUT", host, request_bytes=1000, duration_s=5.0))

    assert at_rest + "# one reconcile later\n" + generate_latest(registry).decode() == GOLDEN.read_text()


QUEUE_BOUNDS = "1e-08 1e-07 1e-06 9.999999999999999e-06 9.999999999999999e-05 0.001 0.01 0.1 1 10 100 1000 +Inf"
RECONCILE_BOUNDS = (
    "0.005 0.01 0.025 0.05 0.1 0.15 0.2 0.25 0.3 0.35 0.4 0.45 0.5 0.6 0.7 0.8 0.9 1 1.25 1.5 1.75 2 2.5 3 3.5 4 4.5 5 6 7 "
    "8 9 10 15 20 25 30 40 50 60 +Inf"
)
SIZE_BOUNDS = "64 256 512 1024 4096 16384 65536 262144 1.048576e+06 4.194304e+06 1.6777216e+07 +Inf"
REST_BOUNDS = "0.005 0.025 0.1 0.25 0.5 1 2 4 8 15 30 60 +Inf"


@pytest.mark.parametrize(
    ("name", "labels", "bounds"),
    [
        ("workqueue_depth", {"name", "controller", "priority"}, None),
        ("workqueue_adds_total", {"name", "controller"}, None),
        ("workqueue_queue_duration_seconds", {"name", "controller"}, QUEUE_BOUNDS),
        ("workqueue_work_duration_seconds", {"name", "controller"}, QUEUE_BOUNDS),
        ("workqueue_unfinished_work_seconds", {"name", "controller"}, None),
        ("workqueue_longest_running_processor_seconds", {"name", "controller"}, None),
        ("workqueue_retries_total", {"name", "controller"}, None),
        ("controller_runtime_reconcile_total", {"controller", "result"}, None),
        ("controller_runtime_reconcile_errors_total", {"controller"}, None),
        ("controller_runtime_terminal_reconcile_errors_total", {"controller"}, None),
        ("controller_runtime_reconcile_panics_total", {"controller"}, None),
        ("controller_runtime_reconcile_timeouts_total", {"controller"}, None),
        ("controller_runtime_reconcile_time_seconds", {"controller"}, RECONCILE_BOUNDS),
        ("controller_runtime_max_concurrent_reconciles", {"controller"}, None),
        ("controller_runtime_active_workers", {"controller"}, None),
        ("leader_election_master_status", {"name"}, None),
        ("rest_client_requests_total", {"code", "method", "host"}, None),
        ("rest_client_request_duration_seconds", {"verb", "host"}, REST_BOUNDS),
        ("rest_client_request_size_bytes", {"verb", "host"}, SIZE_BOUNDS),
        ("rest_client_response_size_bytes", {"verb", "host"}, SIZE_BOUNDS),
        ("rest_client_request_retries_total", {"code", "verb", "host"}, None),
    ],
)
def test_the_golden_file_has_controller_runtimes_names_labels_and_bounds(name, labels, bounds):
    wanted = f"{name}_bucket{{" if bounds else f"{name}{{"
    lines = [line for line in GOLDEN.read_text().splitlines() if line.startswith(wanted)]
    found = [dict(re.findall(r'(\w+)="([^"]*)"', line)) for line in lines]

    assert found
    assert all(set(pairs) - {"le"} == labels for pairs in found)
    if bounds:
        assert list(dict.fromkeys(pairs["le"] for pairs in found)) == bounds.split()


def test_queue_ages_grow_while_a_worker_is_stuck_and_fall_to_zero_after_done(registry):
    clock = FakeClock()
    queue = WorkQueue("q", clock=clock)
    ControllerMetrics(registry).queues.add("q", queue.stats)
    labels = {"name": "q", "controller": "q"}

    def ages():
        return [
            registry.get_sample_value(f"workqueue_{name}_seconds", labels)
            for name in ("longest_running_processor", "unfinished_work")
        ]

    queue.add("a")
    queue.get(0)
    seen = [ages()]
    for _ in range(2):
        clock.advance(10)
        seen.append(ages())
    queue.done("a")

    assert [*seen, ages()] == [[0, 0], [10, 10], [20, 20], [0, 0]]


def test_priorities_beyond_25_share_one_label_value(registry):
    queue = WorkQueue("q")
    ControllerMetrics(registry).queues.add("q", queue.stats)
    for priority in range(100):
        queue.add(f"k{priority}", priority=priority)

    depth = samples(registry, "workqueue_depth")

    assert len(depth) == MAX_PRIORITY_LABELS + 1
    assert sum(depth.values()) == 100
    assert depth[(("controller", "q"), ("name", "q"), ("priority", OVERFLOW_LABEL))] == 100 - MAX_PRIORITY_LABELS


def test_a_queue_without_a_name_has_no_metrics(registry):
    ControllerMetrics(registry).queues.add("", WorkQueue().stats)

    assert samples(registry, "workqueue_adds_total") == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (0.25, "0.25"),
        (1e-8, "1e-08"),
        (1048576.0, "1.048576e+06"),
        (1000.0, "1000"),
        (float("inf"), "+Inf"),
    ],
)
def test_numbers_are_spelled_as_go_spells_them(value, text):
    assert go_float(value) == text


def test_two_managers_in_one_process_do_not_share_counts():
    first, second = new_registry(process=False), new_registry(process=False)
    Controller("a", Nothing(), metrics=ControllerMetrics(first))
    ControllerMetrics(second)

    assert samples(second, "controller_runtime_reconcile_total") == {}


def test_the_default_registry_of_a_process_has_its_memory_and_gc():
    names = {family.name for family in new_registry().collect()}

    assert {"process_resident_memory_bytes", "python_info", "python_gc_collections"} <= names
