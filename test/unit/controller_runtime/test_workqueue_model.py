"""The work queue against a model of thirty lines, under whatever Hypothesis can think of."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller_runtime.queue.workqueue import ShutDown, WorkQueue
from test.support.fake_clock import FakeClock

KEYS = st.sampled_from("abcde")
AGEING_S = 30.0


class Model:
    """What the queue must be: keys with the time since which they are ready, and no cleverness at all."""

    def __init__(self):
        self.now = 0.0
        self.serial = 0
        self.dirty = {}  # key -> [priority, order within the class, ready since]
        self.held = {}
        self.waiting = {}  # key -> [due, priority]
        self.closed = False

    def add(self, key, priority, delay_s):
        if self.closed:
            return
        self.settle()
        if key in self.dirty:
            self.make_dirty(key, priority)
        elif delay_s <= 0:
            _, waiting_priority = self.waiting.pop(key, (0, priority))
            self.make_dirty(key, max(priority, waiting_priority))
        else:
            due, known = self.waiting.get(key, (math.inf, priority))
            if self.now + delay_s < due:
                # Of keys that are due at the same moment, that goes first whose earliest wish was made first.
                self.waiting.pop(key, None)
            self.waiting[key] = (min(due, self.now + delay_s), max(known, priority))

    def make_dirty(self, key, priority):
        self.serial += 1
        known = self.dirty.get(key)
        if known is None:
            self.dirty[key] = (priority, self.serial, self.now)
        elif priority > known[0]:
            self.dirty[key] = (priority, self.serial, known[2])

    def settle(self):
        for key, (due, priority) in sorted(self.waiting.items(), key=lambda entry: entry[1][0]):
            if due <= self.now:
                del self.waiting[key]
                self.make_dirty(key, priority)

    def choices(self):
        """The keys that may be handed out next: the first of its class each, the best rank of those."""
        self.settle()
        heads = {}
        for key, (priority, serial, since) in self.dirty.items():
            if key not in self.held and (priority not in heads or serial < heads[priority][1]):
                heads[priority] = (key, serial, since)
        ranked = {}
        for priority, (key, _, since) in heads.items():
            aged = priority < 0 and self.now - since >= AGEING_S
            ranked.setdefault((0 if aged else -priority, since), set()).add(key)
        return ranked[min(ranked)] if ranked else set()

    def take(self, key):
        self.held[key] = self.dirty.pop(key)

    def done(self, key):
        del self.held[key]
        if key in self.dirty:
            self.serial += 1
            self.dirty[key] = (self.dirty[key][0], self.serial, self.now)


class QueueAgainstModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.clock = FakeClock()
        self.queue = WorkQueue("model", clock=self.clock, ageing_limit_s=AGEING_S, strict=True)
        self.model = Model()

    @rule(key=KEYS, priority=st.sampled_from([-100, 0, 0, 10]), delay_s=st.sampled_from([0.0, 0.0, 1.0, 7.0, 40.0]))
    def add(self, key, priority, delay_s):
        self.queue.add(key, priority=priority, after_s=delay_s)
        self.model.add(key, priority, delay_s)

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0, 35.0]))
    def let_time_pass(self, seconds):
        self.clock.advance(seconds)
        self.model.now += seconds
        # The queue makes due keys ready when somebody looks; the model is asked at the same moments.
        len(self.queue)
        self.model.settle()

    @rule()
    def take(self):
        choices = self.model.choices()
        try:
            key = self.queue.get(0)
        except ShutDown:
            assert self.model.closed
            assert not choices
            return
        if key is None:
            assert not choices, f"nothing handed out though {choices} are ready"
            return
        assert key in choices
        self.model.take(key)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def give_back(self, data):
        key = data.draw(st.sampled_from(sorted(self.model.held)))
        self.queue.done(key)
        self.model.done(key)

    @rule()
    def shut_down(self):
        self.queue.shut_down()
        self.model.closed = True
        self.model.waiting.clear()

    @invariant()
    def sizes_agree(self):
        ready = [key for key in self.model.dirty if key not in self.model.held]
        assert len(self.queue) == len(ready)
        assert sum(self.queue.stats().depth.values()) == len(self.model.dirty)
        assert set(self.queue.held()) == set(self.model.held)


QueueAgainstModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestQueueAgainstModel = QueueAgainstModel.TestCase
