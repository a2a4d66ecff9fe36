"""How fast the Workspace controller is with many Workspaces: a burst of 1,000, and the way from an event to the write it causes.

The API server runs in a process of its own, so that it does not share an interpreter with what is measured. `run()` gives figures by
name; `python -m test.bench.workspaces` prints them.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import yaml

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.manager.manager import Manager
from controller_runtime.resources import NAMESPACES, Object, name_of
from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from kaito_controller.api import labels
from kaito_controller.settings import ControllerSettings
from kaito_controller.workspace.act.actions import MACHINES
from kaito_controller.workspace.setup import assemble
from test.support.processes import wait_until
from test.support.scripted_cluster import knative
from test.support.workspace_world import CRDS, ROOT, SETTINGS, workspace

BURST = 1000
SAMPLES = 200


def _serve(folder: str, pipe: Connection) -> None:
    with ApiServer(ServerOptions(keep_log=False)) as server:
        server.write_kubeconfig(Path(folder) / "admin")
        pipe.send("ready")
        pipe.recv()


@contextmanager
def _api_server() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(folder, theirs), daemon=True)
        process.start()
        ours.recv()
        kubeconfig = Path(folder) / "admin"
        client = Client.from_kubeconfig(kubeconfig, user_agent="bench")
        for file in ("kaito.sh_workspaces.yaml", "karpenter.sh_machines.yaml"):
            client.create(CRDS, _without_rules(yaml.safe_load((ROOT / "config" / "crd" / file).read_text())))
        client.create(NAMESPACES, {"metadata": {"name": "kaito-system"}})
        wait_until(lambda: _is_served(client), what="the CRDs being served")
        try:
            yield kubeconfig
        finally:
            ours.send("stop")
            process.join(10)


def _without_rules(node: Any) -> Any:
    """The CRD without its CEL rules: a rule costs localcluster's server far more than a compiled one costs a real API server, and
    the server is not what is measured."""
    if isinstance(node, list):
        return [_without_rules(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _without_rules(value) for key, value in node.items() if key != "x-kubernetes-validations"}


def _is_served(client: Client) -> bool:
    try:
        client.list(MACHINES)
        client.list(labels.WORKSPACES)
    except Exception:  # any answer but a list means: not yet
        return False
    return True


@contextmanager
def _controller(kubeconfig: Path) -> Iterator[None]:
    unlimited = {"max_nodes_per_namespace": 1_000_000, "max_nodes": 1_000_000}
    settings = ControllerSettings(**{**SETTINGS, **unlimited, "log_level": "error", "provisioner_silence_s": 3600.0})
    manager = Manager(Client.from_kubeconfig(kubeconfig, user_agent="kaito-controller"), settings, name="bench")
    assemble(manager, settings)
    manager.start()
    try:
        yield
    finally:
        manager.stop()


def burst(count: int) -> tuple[float, float]:
    """(seconds from the controller's start with `count` Workspaces to the last of their Machines, CPU milliseconds for each)."""
    with _api_server() as kubeconfig:
        client = Client.from_kubeconfig(kubeconfig, user_agent="bench")
        _apply(client, count)
        start, cpu_start = time.perf_counter(), time.process_time()
        with _controller(kubeconfig):
            wait_until(lambda: len(client.list(MACHINES).items) >= count, 600.0, f"{count} Machines", step_s=0.25)
            return time.perf_counter() - start, 1000 * (time.process_time() - cpu_start) / count


def _apply(client: Client, count: int) -> None:
    for number in range(count):
        client.create(labels.WORKSPACES, workspace(f"w{number}"))


def event_to_write(count: int = BURST, samples: int = SAMPLES) -> list[float]:
    """Seconds from a Machine's change being accepted to the Workspace status that follows from it, as a watcher sees both."""
    with _api_server() as kubeconfig:
        client = Client.from_kubeconfig(kubeconfig, user_agent="bench")
        _apply(client, count)
        with _controller(kubeconfig):
            wait_until(lambda: _all_waiting(client, count), 600.0, "all Workspaces waiting", step_s=0.5)
            # What is measured is one event at rest, not the end of the burst that came before it.
            wait_until(_Rest(client), 600.0, "no more writes", step_s=1.0)
            return _sample(client, samples)


def _all_waiting(client: Client, count: int) -> bool:
    found = client.list(labels.WORKSPACES).items
    return sum(1 for w in found if (w.get("status") or {}).get("conditions")) >= count


class _Rest:
    """True when nothing was written to any Workspace since the last call."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._versions: list[str] = []

    def __call__(self) -> bool:
        found = self._client.list(labels.WORKSPACES).items
        before, self._versions = self._versions, [w["metadata"]["resourceVersion"] for w in found]
        return before == self._versions


def _sample(client: Client, samples: int) -> list[float]:
    seen: dict[str, float] = {}
    news = threading.Condition()
    version = client.list(labels.WORKSPACES).resource_version

    def follow(stream: object) -> None:
        for event in stream:  # type: ignore[attr-defined]  # a WatchStream
            if event.type == "MODIFIED" and _is_failing(event.object):
                with news:
                    seen.setdefault(name_of(event.object), time.perf_counter())
                    news.notify_all()

    times = []
    with client.watch(labels.WORKSPACES, resource_version=version) as stream:
        follower = threading.Thread(target=follow, args=(stream,), daemon=True)
        follower.start()
        for machine in client.list(MACHINES).items[:samples]:
            owner = machine["metadata"]["labels"][labels.WORKSPACE]
            status = {"conditions": [knative("MachineLaunched", "False", "LaunchFailed", "no quota")]}
            client.patch(MACHINES, name_of(machine), {"status": status}, subresource="status")
            start = time.perf_counter()
            with news:
                assert news.wait_for(lambda key=owner: key in seen, 10.0), f"{owner} was not reported"
            times.append(seen[owner] - start)
        stream.stop()
        follower.join(5)
    return times


def _is_failing(found: Object) -> bool:
    return any(c["reason"] == "MachineFailing" for c in (found.get("status") or {}).get("conditions") or [])


def run() -> dict[str, float]:
    """All figures. `burst_growth` is 1.0 when four times the Workspaces take four times as long."""
    times = sorted(event_to_write())
    quarter, _ = burst(BURST // 4)
    whole, cpu_ms = burst(BURST)
    return {
        "event_to_write_p50_ms": 1000 * times[len(times) // 2],
        "event_to_write_p99_ms": 1000 * times[int(len(times) * 0.99)],
        f"burst_{BURST // 4}_s": quarter,
        f"burst_{BURST}_s": whole,
        "burst_growth": whole / (4 * quarter),
        "burst_cpu_ms_per_workspace": cpu_ms,
    }


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:28} {value:.3f}")
