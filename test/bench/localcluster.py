"""Figures of localcluster: time to ready, small writes per second, and a list of 5,000 Machines against `orjson.dumps`.

Everything runs as a process of its own, as it does for a user; the client is one process with a few connections. Starts and rounds of
writes are repeated, and the median counts; the best is shown beside it, because other work on the machine only ever makes it worse.
"""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import yaml

ROOT = Path(__file__).resolve().parents[2]
MACHINE_CRD = ROOT / "config/crd/karpenter.sh_machines.yaml"
MACHINES = "/apis/karpenter.sh/v1alpha5/machines"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
AT_LEAST = {"writes_per_s": 1000.0}
BELOW = {"ready_s": 2.0, "up_ready_s": 2.0, "list_over_dumps": 2.0}
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
_CONNECTIONS = 4
_MERGE = {"Content-Type": "application/merge-patch+json"}
_JSON = {"Content-Type": "application/json"}


def machine(number: int) -> dict[str, Any]:
    """A Machine as the workspace controller makes them."""
    return {
        "apiVersion": "karpenter.sh/v1alpha5",
        "kind": "Machine",
        "metadata": {
            "name": f"ws{number:09x}",
            "labels": {"karpenter.sh/provisioner-name": "default", "kaito.sh/workspace": f"workspace-{number}"},
        },
        "spec": {
            "machineTemplateRef": {"name": "default"},
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"]},
                {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
            ],
            "resources": {"requests": {"storage": "120Gi"}},
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
        },
    }


@contextmanager
def server() -> Iterator[tuple[http.client.HTTPConnection, float]]:
    """A server process with a connection to it, and how long it took to answer /readyz."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "hack.localcluster.apiserver", "--plain-http"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1].removeprefix("http://")
        connection = http.client.HTTPConnection(address)
        request(connection, "GET", "/readyz")
        yield connection, time.perf_counter() - began
        connection.close()
    finally:
        process.terminate()
        process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()


def up_ready_s(folder: Path) -> float:
    """How long the whole cluster with its actors and its cloud takes, from the command to the line that says `ready`."""
    command = [sys.executable, "-m", "hack.localcluster", "up", "--dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            found = any("ready" in line for line in process.stdout)
            took_s = time.perf_counter() - began
        finally:
            process.terminate()
            process.stdout.read()
    assert found, "localcluster ended before it was ready"
    return took_s


def request(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
) -> bytes:
    """One request; AssertionError unless it succeeded."""
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    data = reply.read()
    assert reply.status < 300, f"{method} {path}: {reply.status} {data[:300]!r}"
    return data


def writes_per_s(connection: http.client.HTTPConnection, per_connection: int) -> float:
    """Small merge patches of ConfigMaps, from a few connections of this process."""
    for number in range(_CONNECTIONS):
        body = orjson.dumps({"metadata": {"name": f"bench-{number}"}, "data": {"n": "0"}})
        request(connection, "POST", CONFIG_MAPS, body, **_JSON)

    def write(number: int) -> None:
        own = http.client.HTTPConnection(connection.host, connection.port)
        for turn in range(per_connection):
            request(own, "PATCH", f"{CONFIG_MAPS}/bench-{number}", b'{"data":{"n":"%d"}}' % (turn + 1), **_MERGE)
        own.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(_CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _CONNECTIONS * per_connection / (time.perf_counter() - began)


def list_figures(connection: http.client.HTTPConnection, count: int, rounds: int = 7) -> tuple[float, float]:
    """Seconds for one list request (to the last byte), and for `orjson.dumps` of the same list; medians."""
    crd = orjson.dumps(yaml.safe_load(MACHINE_CRD.read_text()))
    request(connection, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd, **_JSON)
    for number in range(count):
        request(connection, "POST", MACHINES, orjson.dumps(machine(number)), **_JSON)
    listed, dumped = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        data = request(connection, "GET", MACHINES)
        listed.append(time.perf_counter() - began)
        found = orjson.loads(data)
        assert len(found["items"]) == count
        began = time.perf_counter()
        orjson.dumps(found)
        dumped.append(time.perf_counter() - began)
    return statistics.median(listed), statistics.median(dumped)


def run() -> dict[str, float]:
    """All figures."""
    ready, writes = [], []
    for number in range(ROUNDS):
        with server() as (connection, ready_s):
            ready.append(ready_s)
            writes.append(writes_per_s(connection, 1500))
            if number == ROUNDS - 1:
                listed_s, dumped_s = list_figures(connection, 5000)
    with tempfile.TemporaryDirectory() as folder:
        up = [up_ready_s(Path(folder) / str(number)) for number in range(ROUNDS)]
    return {
        "ready_s": statistics.median(ready),
        "ready_best_s": min(ready),
        "up_ready_s": statistics.median(up),
        "up_ready_best_s": min(up),
        "writes_per_s": statistics.median(writes),
        "writes_best_per_s": max(writes),
        "list_5000_machines_s": listed_s,
        "orjson_dumps_s": dumped_s,
        "list_over_dumps": listed_s / dumped_s,
    }


def missed(figures: dict[str, float]) -> list[str]:
    """The figures that do not meet their bar."""
    low = [name for name, bar in AT_LEAST.items() if figures[name] < bar]
    return low + [name for name, bar in BELOW.items() if figures[name] >= bar]


def main() -> int:
    """Print the figures and the load of the machine; 1 when one misses its bar."""
    load = os.getloadavg()[0]
    figures = run()
    for name, value in figures.items():
        bar = f">= {AT_LEAST[name]:g}" if name in AT_LEAST else f"< {BELOW[name]:g}" if name in BELOW else ""
        print(f"{name:24} {value:12.4f}  {bar}")
    print(f"load before {load:.1f}, after {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores; {ROUNDS} rounds")
    return int(bool(missed(figures)))


if __name__ == "__main__":
    sys.exit(main())
