"""A controller stepped by hand on a fake clock, with a reconciler that plays a script."""

from controller_runtime.backoff import ItemExponentialLimiter
from controller_runtime.controller.controller import Controller, Request, Result
from controller_runtime.metrics.registry import ControllerMetrics, new_registry
from controller_runtime.resources import PODS
from test.support.fake_clock import FakeClock

A = Request("ns", "a")
TICK_S = 1 / 1024
FIRST_S = 8 * TICK_S
"""The first delay of the limiter under test. Powers of two, because their sums are exact."""


class Scripted:
    """A reconciler that plays a script: each entry is a Result, an exception to raise, or a callable."""

    def __init__(self, *script):
        self.script = list(script)
        self.seen = []

    def reconcile(self, request):
        self.seen.append(str(request))
        step = self.script.pop(0) if self.script else Result()
        if isinstance(step, BaseException):
            raise step
        return step(request) if callable(step) else step


class Source:
    """Stands in for an informer."""

    resource = PODS

    def __init__(self, *, syncs=True, reason=None):
        self.handlers, self.removed, self.syncs, self.reason = [], 0, syncs, reason

    def add_handler(self, handler):
        self.handlers.append(handler)
        return self

    def remove(self):
        self.removed += 1

    def wait_for_sync(self, timeout_s):
        return self.syncs

    def healthy(self):
        return self.reason


class Bench:
    """A controller with a fake clock, stepped by hand."""

    def __init__(self, *script, **options):
        self.clock = FakeClock()
        self.registry = new_registry(process=False)
        self.reconciler = Scripted(*script)
        self.fatal = []
        # No jitter, and delays that are sums of ticks, so that the series can be asserted exactly.
        options.setdefault("limiter", ItemExponentialLimiter(FIRST_S))
        self.controller = Controller("pods", self.reconciler, clock=self.clock, **options)
        self.controller.attach(ControllerMetrics(self.registry), self.fatal.append)

    def step(self):
        return self.controller.process_next()

    def runs_after(self, seconds):
        """How often the reconciler ran within the next `seconds`.

        The last of them passes in ticks; twenty in first delays, whose sums all delays under test are; more in whole seconds.
        """
        before, end = len(self.reconciler.seen), self.clock.monotonic() + seconds
        while self.step():
            pass
        while (left := end - self.clock.monotonic()) > 0:
            self.clock.advance(1.0 if left > 20 else FIRST_S if left > 1 else TICK_S)
            while self.step():
                pass
        return len(self.reconciler.seen) - before

    def count(self, name, **labels):
        return self.registry.get_sample_value(f"controller_runtime_{name}", {"controller": "pods", **labels})


def bench(*script, **options):
    it = Bench(*script, **options)
    it.controller.enqueue(A)
    return it
