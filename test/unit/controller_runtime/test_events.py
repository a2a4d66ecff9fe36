import gc
import threading
import tracemalloc

import pytest

from controller_runtime.client.fencing import GuardedClient
from controller_runtime.errors import AlreadyExists, ConnectionFailed, Forbidden, TooManyRequests
from controller_runtime.events.recorder import MAX_PENDING, EventBroadcaster
from controller_runtime.events.series import COMBINED_PREFIX
from controller_runtime.resources import EVENTS
from test.support.fake_clock import FakeClock
from test.support.memory_client import MemoryClient

WORKSPACE = {
    "apiVersion": "kaito.sh/v1alpha1",
    "kind": "Workspace",
    "metadata": {"name": "falcon", "namespace": "models", "uid": "u-1", "resourceVersion": "5"},
}
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "aks-1", "uid": "u-2"}}


class Stage:
    """A recorder over a dict, stepped by hand."""

    def __init__(self):
        self.client = MemoryClient()
        self.clock = FakeClock()
        self.broadcaster = EventBroadcaster(self.client, clock=self.clock, instance="pod-1")
        self.recorder = self.broadcaster.recorder("kaito")

    def say(self, note="node aks-1 is ready", obj=WORKSPACE, reason="NodeReady", **options):
        self.recorder.event(obj, type="Normal", reason=reason, action="Watch", note=note, **options)

    def write(self, seconds=0.0):
        self.clock.advance(seconds)
        while self.broadcaster.write_next():
            pass

    def events(self, namespace=None):
        return self.client.list(EVENTS, namespace).items


@pytest.fixture
def stage():
    return Stage()


def test_an_event_is_written_in_the_form_of_the_new_api(stage):
    stage.say(related=NODE)
    stage.write()

    (event,) = stage.events("models")
    metadata = event.pop("metadata")
    assert metadata["name"].startswith("falcon.")
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "kaito",
        "reportingInstance": "pod-1",
        "type": "Normal",
        "reason": "NodeReady",
        "action": "Watch",
        "note": "node aks-1 is ready",
        "regarding": {
            "apiVersion": "kaito.sh/v1alpha1",
            "kind": "Workspace",
            "namespace": "models",
            "name": "falcon",
            "uid": "u-1",
        },
        "related": {"apiVersion": "v1", "kind": "Node", "name": "aks-1", "uid": "u-2"},
    }


def test_an_event_about_a_cluster_scoped_object_lands_in_default(stage):
    stage.say(obj=NODE)
    stage.write()

    assert len(stage.events("default")) == 1


def test_a_thousand_identical_events_become_one_object_with_a_count_and_few_writes(stage):
    for _ in range(1000):
        stage.say()
        stage.write(0.05)
    stage.write(400)

    (event,) = stage.events()
    assert event["series"]["count"] == 1000
    assert event["series"]["lastObservedTime"] > event["eventTime"]
    assert len([call for call in stage.client.calls if call.startswith(("create", "patch"))]) <= 6


def test_a_changed_resource_version_does_not_begin_a_new_series(stage):
    stage.say()
    changed = WORKSPACE | {"metadata": WORKSPACE["metadata"] | {"resourceVersion": "6"}}
    stage.say(obj=changed)
    stage.write()

    assert len(stage.events()) == 1


def test_a_series_ends_after_six_quiet_minutes(stage):
    stage.say()
    stage.write(361)
    stage.say()
    stage.write()

    assert len(stage.events()) == 2


def test_many_events_that_differ_only_in_their_note_are_combined(stage):
    for number in range(200):
        stage.say(note=f"attempt {number} failed")
        stage.write(0.1)
    stage.write(400)

    events = stage.events()
    combined = [event for event in events if event["note"].startswith(COMBINED_PREFIX)]
    assert len(events) == 11
    assert len(combined) == 1
    assert combined[0]["series"]["count"] == 190


def test_one_object_can_start_25_events_and_then_one_every_five_minutes(stage):
    for number in range(100):
        stage.say(reason=f"Reason{number}")
    stage.write()
    assert len(stage.events()) == 25
    assert stage.broadcaster.dropped == 75
    stage.clock.advance(300)
    for number in range(100, 110):
        stage.say(reason=f"Reason{number}")
    stage.write()

    assert len(stage.events()) == 26


def test_a_flood_from_one_object_does_not_silence_another(stage):
    for number in range(100):
        stage.say(reason=f"Reason{number}")
    stage.say(obj=NODE)
    stage.write()

    assert len(stage.events("default")) == 1


def test_an_event_that_met_an_outage_is_written_when_it_is_over(stage):
    outcomes = [ConnectionFailed("down"), TooManyRequests("wait", retry_after_s=20)]

    def before(verb, *_):
        if verb == "create" and outcomes:
            raise outcomes.pop(0)

    stage.client.before = before
    stage.say()
    stage.write()
    stage.write(2)
    stage.write(19)
    assert stage.events() == []
    stage.write(1)

    assert len(stage.events()) == 1


def test_an_event_is_given_up_after_some_tries_and_the_next_occurrence_tries_again(stage):
    def before(verb, *_):
        if verb == "create":
            raise ConnectionFailed("down")

    stage.client.before = before
    stage.say()
    for _ in range(100):
        stage.write(10)
    tries = stage.client.calls.count(stage.client.calls[0])
    assert tries == 8
    stage.client.before = lambda *_: None
    stage.say()
    stage.write(60)

    assert len(stage.events()) == 1


def test_a_refused_event_is_dropped_and_not_retried(stage):
    def before(*_):
        raise Forbidden("no", code=403)

    stage.client.before = before
    stage.say()
    for _ in range(10):
        stage.write(60)

    assert len(stage.client.calls) == 1


def test_an_event_whose_first_reply_was_lost_is_not_written_twice(stage):
    def after(*_):
        stage.client.after = lambda *_: None
        raise ConnectionFailed("reset after the write")

    stage.client.after = after
    stage.say()
    stage.write()
    stage.write(60)

    assert len(stage.events()) == 1
    with pytest.raises(AlreadyExists):
        stage.client.create(EVENTS, stage.events()[0])


def test_a_series_whose_object_has_expired_goes_on_in_a_new_one(stage):
    stage.say()
    stage.write()
    (event,) = stage.events()
    stage.client.delete(EVENTS, event["metadata"]["name"], "models")
    stage.say()
    stage.write(60)

    (event,) = stage.events()
    assert event["series"]["count"] == 2


def test_notes_are_cut_to_1_kib_without_breaking_a_character_and_secrets_are_blanked_out(stage):
    stage.say(note="token=hunter22hunter22 " + "ü" * 2000)
    stage.write()

    note = stage.events()[0]["note"]
    assert len(note.encode()) <= 1024
    assert note.endswith("ü…")
    assert "hunter22" not in note


def test_a_long_object_name_still_gives_a_valid_event_name(stage):
    stage.say(obj=NODE | {"metadata": {"name": "n" * 253, "uid": "u"}})
    stage.write()

    assert len(stage.events()[0]["metadata"]["name"]) == 253


def test_recording_never_blocks_on_a_server_that_hangs_and_memory_stays_bounded(stage):
    entered, hang = threading.Event(), threading.Event()

    def before(*_):
        entered.set()
        hang.wait(30)

    stage.client.before = before
    stage.broadcaster.start()
    stage.say()
    assert entered.wait(10)
    for number in range(MAX_PENDING + 500):
        stage.say(obj={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}", "uid": f"u{number}"}})
    assert stage.broadcaster.dropped == 500
    hang.set()
    stage.client.before = lambda *_: None
    stage.broadcaster.stop(flush_s=30)

    assert len(stage.events()) == MAX_PENDING + 1


def test_stop_writes_counts_that_were_still_waiting(stage):
    stage.broadcaster.start()
    for _ in range(5):
        stage.say()
    stage.broadcaster.stop(flush_s=30)

    (event,) = stage.events()
    assert event["series"]["count"] == 5


def test_a_standby_writes_no_events(stage):
    broadcaster = EventBroadcaster(GuardedClient(stage.client, lambda: False), clock=stage.clock)
    broadcaster.recorder("x").event(WORKSPACE, type="Normal", reason="R", action="A", note="n")
    assert broadcaster.write_next()

    assert stage.client.calls == []


@pytest.mark.parametrize("wrong", [{"type": "Error"}, {"reason": ""}, {"action": ""}])
def test_a_malformed_event_is_refused_where_it_is_made(stage, wrong):
    words = {"type": "Normal", "reason": "R", "action": "A", "note": "n"} | wrong
    with pytest.raises(ValueError, match="event"):
        stage.recorder.event(WORKSPACE, **words)


def test_what_is_remembered_of_objects_that_are_gone_does_not_grow(stage):
    def churn(first, count):
        for number in range(first, first + count):
            metadata = {"name": f"w{number}", "namespace": "models", "uid": f"u{number}"}
            for reason in ("Ordered", "Ready", "Serving", "Deleting"):
                stage.say(reason=reason, obj=WORKSPACE | {"metadata": metadata})
            stage.write(10.0)
        return len(stage.broadcaster)

    after_a_while = churn(0, 100)

    assert churn(100, 200) <= after_a_while
    assert after_a_while <= 4 * 62, "ten minutes' worth, at one object every ten seconds"


def test_an_object_whose_events_are_written_costs_four_kib_and_not_their_words(stage):
    def happens_to(number):
        obj = WORKSPACE | {"metadata": {"name": f"w{number}", "namespace": "models", "uid": f"{number:036d}"}}
        for reason in ("MachinesPending", "WorkspacePending", "WorkspaceDeleting", "MachineOrdered"):
            stage.say(obj=obj, reason=reason, note=f"Machine ws{number:09d} is ordered; " + "it takes a while; " * 40)
        stage.write()
        stage.client.calls.clear()
        for event in stage.events("models"):
            stage.client.delete(EVENTS, event["metadata"]["name"], "models")

    happens_to(0)
    tracemalloc.start()
    before, objects = tracemalloc.get_traced_memory()[0], 60
    for number in range(1, 1 + objects):
        happens_to(number)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert held / objects < 4.5 * 1024
