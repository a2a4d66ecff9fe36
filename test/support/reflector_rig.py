"""A real informer on a server that is scripted byte by byte: what to say to each list and watch, and what came of it."""

from controller_runtime.cache.informer import Informer
from controller_runtime.resources import PODS
from test.support.jumping_clock import JumpingClock
from test.support.processes import wait_until
from test.support.scripted_server import Request, ScriptedServer, Wire


def pod(name: str, version: int, uid: str = "") -> dict:
    metadata = {"name": name, "namespace": "n", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {**metadata, "managedFields": [{"manager": "m"}]}}


def pod_list(version: int, *pods: dict) -> dict:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}, "items": list(pods)}


class Recorder:
    """A handler that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def on_add(self, obj, is_initial):
        self.told.append(("add", obj["metadata"]["name"], obj["metadata"]["resourceVersion"], is_initial))

    def on_update(self, old, new):
        self.told.append(("update", new["metadata"]["name"], new["metadata"]["resourceVersion"]))

    def on_delete(self, obj, final_state_unknown):
        self.told.append(("delete", obj["metadata"]["name"], final_state_unknown))


class Rig:
    """A scripted server, an informer on it, and what both saw. Each watch takes the next of `watches`; the last one holds."""

    def __init__(self, tmp_path, lists, watches, **options) -> None:
        self.lists, self.watches = list(lists), list(watches)
        self.clock, self.recorder = options.pop("clock", None) or JumpingClock(), Recorder()
        self.server = ScriptedServer(self._script)
        self.server.__enter__()
        self.client = self.server.client(tmp_path, read_timeout_s=options.pop("read_timeout_s", 5))
        self.informer = Informer(self.client, PODS, clock=self.clock, **options)
        self.informer.add_handler(self.recorder)
        self.informer.start()

    def _script(self, request: Request, wire: Wire) -> None:
        steps = self.watches if request.is_watch else self.lists
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, dict):
            wire.reply(200, step)
        else:
            step(request, wire)

    def keys(self, *expected: str) -> None:
        wait_until(lambda: sorted(self.informer.keys()) == sorted(expected), 10, f"keys {expected}")

    def told(self, *expected: tuple) -> None:
        wait_until(
            lambda: self.recorder.told == list(expected), 10, f"handler told {expected}, was {self.recorder.told}"
        )

    def close(self) -> None:
        assert self.informer.stop(5)
        self.client.close()
        self.server.__exit__()


def rigs(tmp_path):
    """For a fixture: gives what makes rigs, and closes them at the end."""
    made = []

    def build(lists, watches, **options) -> Rig:
        made.append(Rig(tmp_path, lists, watches, **options))
        return made[-1]

    yield build
    for built in made:
        built.close()


def hold(_: Request, wire: Wire) -> None:
    wire.start_stream()
    wire.hold()


def events(*frames: tuple[str, dict], then=None):
    """A watch that sends these frames and then ends as `then` says (default: politely)."""

    def script(_: Request, wire: Wire) -> None:
        wire.start_stream()
        for kind, obj in frames:
            wire.event(kind, obj)
        then(wire) if then else wire.end_stream()

    return script


def raw_lines(*lines: bytes, then=None):
    def script(_: Request, wire: Wire) -> None:
        wire.start_stream()
        for line in lines:
            wire.chunk(line)
        then(wire) if then else wire.end_stream()

    return script


def refuse(code: int, reason: str = "", headers=None, **details):
    return lambda _, wire: wire.status(code, reason, headers, **details)
