"""Asking why a workload has no pods: only when they are missing for a while, rarely, and believing only what is recent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controller_runtime.client.api import ObjectList
from controller_runtime.clock import rfc3339
from controller_runtime.errors import Forbidden
from controller_runtime.resources import Object, Resource
from kaito_controller.workspace.observe.pod_rejections import FIRST_ASK_OF_VOLUMES_S, FIRST_ASK_S, PodRejections
from test.support.fake_clock import FakeClock
from test.support.memory_client import MemoryClient

QUOTA = 'create Pod phi-0 in StatefulSet phi failed error: pods "phi-0" is forbidden: exceeded quota'


class Events(MemoryClient):
    """Answers lists of Events with what a test put there, and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Object] = []
        self.asked: list[tuple[str | None, str | None]] = []
        self.forbidden = False

    def list(self, resource: Resource, namespace: str | None = None, **options: Any) -> ObjectList:
        self.asked.append((namespace, options.get("field_selector")))
        if self.forbidden:
            raise Forbidden("events are not for you", code=403, reason="Forbidden")
        return ObjectList(self.events, "1")


def stateful_set(**parts: Any) -> Object:
    return {
        "kind": "StatefulSet",
        "metadata": {"name": "phi", "namespace": "team", "uid": "s1"},
        "spec": {"replicas": 2},
        **parts,
    }


def pod(name: str, phase: str = "Running") -> Object:
    return {"metadata": {"name": name}, "status": {"phase": phase}}


class Asking:
    def __init__(self) -> None:
        self.clock, self.client = FakeClock(), Events()
        self.rejections = PodRejections(self.client, self.clock)

    def happened(self, note: str, ago_s: float = 0.0, **times: Any) -> Object:
        moment = rfc3339(self.clock.now() - timedelta(seconds=ago_s))
        return {"metadata": {"creationTimestamp": moment}, "note": note, "eventTime": None, **times}


@pytest.fixture
def asking() -> Asking:
    return Asking()


def test_refusal_is_quoted_once_pods_have_been_missing_for_a_while(asking: Asking) -> None:
    asking.client.events = [asking.happened("an older one", ago_s=60), asking.happened(QUOTA)]
    first = asking.rejections.of(stateful_set(), [pod("phi-0")])
    assert (first.message, asking.client.asked) == ("", [])

    asking.clock.advance(FIRST_ASK_S)

    assert asking.rejections.of(stateful_set(), [pod("phi-0")]).message == QUOTA
    assert asking.client.asked == [("team", "regarding.uid=s1,reason=FailedCreate")]


def test_questions_become_rarer_and_the_answer_is_kept_between_them(asking: Asking) -> None:
    asking.client.events = [asking.happened(QUOTA)]
    start = asking.clock.now()
    moments = []
    while asking.clock.now() - start < timedelta(hours=1):
        before = len(asking.client.asked)
        answer = asking.rejections.of(stateful_set(), [])
        if len(asking.client.asked) > before:
            moments.append((asking.clock.now() - start).total_seconds())
        assert answer.again_at is not None
        asking.clock.advance((answer.again_at - asking.clock.now()).total_seconds())

    assert moments[:4] == [3.0, 6.0, 12.0, 24.0]
    assert len(moments) < 20


@pytest.mark.parametrize(
    ("runner", "pods"),
    [
        (stateful_set(), [pod("phi-0"), pod("phi-1", "Pending")]),
        (stateful_set(kind="Deployment"), []),
        (stateful_set(kind="Job", spec={}, status={"conditions": [{"type": "Complete", "status": "True"}]}), []),
        (None, []),
    ],
    ids=["all there", "tells by itself", "has ended", "no workload"],
)
def test_nobody_is_asked(asking: Asking, runner: Object | None, pods: list[Object]) -> None:
    for _ in range(3):
        assert asking.rejections.of(runner, pods).again_at is None
        asking.clock.advance(100.0)

    assert not asking.client.asked


def test_pods_that_come_after_all_end_it(asking: Asking) -> None:
    asking.client.events = [asking.happened(QUOTA)]
    asking.rejections.of(stateful_set(), [])
    asking.clock.advance(FIRST_ASK_S)
    assert asking.rejections.of(stateful_set(), []).message

    assert asking.rejections.of(stateful_set(), [pod("phi-0"), pod("phi-1")]).message == ""
    assert asking.rejections.of(stateful_set(), [pod("phi-0")]).message == ""


def test_old_news_is_no_news_but_a_series_that_goes_on_is(asking: Asking) -> None:
    lately = {"series": {"count": 9, "lastObservedTime": rfc3339(asking.clock.now())}}
    asking.rejections.of(stateful_set(), [])
    asking.clock.advance(FIRST_ASK_S)

    asking.client.events = [asking.happened(QUOTA, ago_s=7200)]
    assert asking.rejections.of(stateful_set(), []).message == ""
    asking.client.events = [asking.happened(QUOTA, ago_s=7200, **lately)]
    asking.clock.advance(FIRST_ASK_S)
    assert asking.rejections.of(stateful_set(), []).message == QUOTA


def test_server_that_does_not_answer_costs_only_the_cause(asking: Asking) -> None:
    asking.client.forbidden = True
    asking.rejections.of(stateful_set(), [])
    asking.clock.advance(FIRST_ASK_S)

    assert asking.rejections.of(stateful_set(), []).message == ""


def test_workload_that_nobody_asks_about_any_more_is_forgotten(asking: Asking) -> None:
    asking.rejections.of(stateful_set(), [])
    asking.clock.advance(3600)
    other = stateful_set(metadata={"name": "other", "namespace": "team", "uid": "s2"})

    asking.rejections.of(other, [])
    again = asking.rejections.of(stateful_set(), [])

    assert asking.client.asked == []
    assert again.again_at == asking.clock.now() + timedelta(seconds=FIRST_ASK_S)


NOT_MOUNTED = 'MountVolume.SetUp failed for volume "docker-config" : secret "push" not found'
JOB = stateful_set(kind="Job", spec={})


def placed(name: str = "phi-0", **status: Any) -> Object:
    """A pod on a node, of which nothing has begun."""
    meta = {"name": name, "namespace": "team", "uid": f"uid-of-{name}"}
    return {"metadata": meta, "spec": {"nodeName": "n"}, "status": {"phase": "Pending", **status}}


def mounted(**status: Any) -> Object:
    return placed(conditions=[{"type": "PodReadyToStartContainers", "status": "True"}], **status)


def test_volume_that_cannot_be_mounted_is_told_in_the_kubelets_words(asking: Asking) -> None:
    asking.client.events = [asking.happened(NOT_MOUNTED)]
    assert asking.rejections.of(JOB, [placed()]).unmounted == ""
    assert asking.client.asked == []

    asking.clock.advance(FIRST_ASK_OF_VOLUMES_S)

    answer = asking.rejections.of(JOB, [placed()])
    assert (answer.unmounted, answer.message) == (f"Pod phi-0 cannot start: {NOT_MOUNTED}", "")
    assert asking.client.asked == [("team", "regarding.uid=uid-of-phi-0,reason=FailedMount")]
    assert asking.rejections.of(JOB, [mounted()]).unmounted == ""


def test_volumes_that_only_take_their_time_say_nothing(asking: Asking) -> None:
    asking.rejections.of(JOB, [placed()])
    asking.clock.advance(FIRST_ASK_OF_VOLUMES_S)

    assert asking.rejections.of(JOB, [placed()]).unmounted == ""


@pytest.mark.parametrize(
    "found",
    [mounted(), {**placed(), "spec": {}}, placed(phase="Running")],
    ids=["volumes are mounted", "on no node", "runs"],
)
def test_nobody_is_asked_about_volumes(asking: Asking, found: Object) -> None:
    for _ in range(3):
        assert asking.rejections.of(JOB, [found]).again_at is None
        asking.clock.advance(100.0)

    assert not asking.client.asked
