"""One side of one measurement, in a process of its own so that no side inherits another's heap, imports or event loop.

    python -m test.bench.contenders NAME URL COUNT      prints one number

Watch sides print events per second; sync sides print seconds; memory sides print bytes; the hold side prints milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import urllib3

GROUP, VERSION, PLURAL = "karpenter.sh", "v1alpha5", "machines"
MACHINES_PATH = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
PODS_PATH = "/api/v1/pods"
LIMIT_S = 120.0


def watch_raw(url: str, count: int) -> float:
    """The bare loop: read with urllib3, orjson.loads, put in a dict."""
    pool = urllib3.PoolManager()
    started = time.perf_counter()
    response = pool.request("GET", f"{url}{MACHINES_PATH}?watch=true", preload_content=False)
    cache: dict[str, Any] = {}
    seen, rest = 0, b""
    for piece in response.stream(amt=None, decode_content=False):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            obj = orjson.loads(line)["object"]
            cache[obj["metadata"]["name"]] = obj
            seen += 1
        if seen >= count:
            return count / (time.perf_counter() - started)
    raise AssertionError(f"the stream ended after {seen} events")


def watch_ours(url: str, count: int) -> float:
    """Reflector, store and one handler that sees every change."""
    from controller_runtime.cache.informer import Informer

    done = threading.Event()

    class Handler:
        seen = 0

        def on_add(self, obj: Any, is_initial: bool) -> None:
            self._count()

        def on_update(self, old: Any, new: Any) -> None:
            self._count()

        def on_delete(self, obj: Any, final_state_unknown: bool) -> None:
            self._count()

        def _count(self) -> None:
            self.seen += 1
            if self.seen == count:
                done.set()

    informer = Informer(_client(url), _machines(), label_selector="none")
    registration = informer.add_handler(Handler())
    started = time.perf_counter()
    informer.start()
    # A coalesced buffer would mean that fewer changes than events were delivered, and the count would never be reached.
    assert done.wait(LIMIT_S), f"{registration.pending} pending"
    return count / (time.perf_counter() - started)


def watch_kubernetes(url: str, count: int) -> float:
    """The official client's Watch, with plain dicts."""
    from kubernetes import client, watch

    configuration = client.Configuration()
    configuration.host = url
    api = client.CustomObjectsApi(client.ApiClient(configuration))
    cache: dict[str, Any] = {}
    started = time.perf_counter()
    stream = watch.Watch().stream(
        api.list_cluster_custom_object, GROUP, VERSION, PLURAL, resource_version="1", deserialize=False
    )
    for seen, event in enumerate(stream, 1):
        obj = event["object"]
        cache[obj["metadata"]["name"]] = obj
        if seen == count:
            return count / (time.perf_counter() - started)
    raise AssertionError("the stream ended early")


def watch_lightkube(url: str, count: int) -> float:
    """lightkube's watch of a generic resource."""
    import lightkube
    from lightkube.config.models import Cluster, User
    from lightkube.generic_resource import create_global_resource

    machine = create_global_resource(GROUP, VERSION, "Machine", PLURAL)
    config = lightkube.KubeConfig.from_one(cluster=Cluster(server=url), user=User(token="bench"))
    client = lightkube.Client(config=config)
    cache: dict[str, Any] = {}
    started = time.perf_counter()
    for seen, (_, obj) in enumerate(client.watch(machine, resource_version="1"), 1):
        cache[obj.metadata.name] = obj
        if seen == count:
            return count / (time.perf_counter() - started)
    raise AssertionError("the stream ended early")


def watch_kopf(url: str, count: int) -> float:
    """kopf's list-and-watch generator alone; its queueing, batching and handlers would come on top."""
    import kopf
    from kopf._cogs.clients import auth, watching
    from kopf._cogs.structs import credentials, references

    async def consume() -> float:
        auth.vault_var.set(credentials.Vault({"bench": credentials.ConnectionInfo(server=url)}))
        resource = references.Resource(GROUP, VERSION, PLURAL, kind="Machine", namespaced=False, preferred=True)
        settings = kopf.OperatorSettings()
        settings.watching.label_selectors = _NoObjects()  # type: ignore[assignment]
        cache: dict[str, Any] = {}
        seen = 0
        started = time.perf_counter()
        watcher = watching.continuous_watch(
            settings=settings,
            resource=resource,
            namespace=None,
            operator_pause_waiter=asyncio.get_running_loop().create_future(),
        )
        async for event in watcher:
            if isinstance(event, dict):
                obj = event["object"]
                cache[obj["metadata"]["name"]] = obj
                seen += 1
                if seen == count:
                    return count / (time.perf_counter() - started)
        raise AssertionError("the stream ended early")

    return asyncio.run(consume())


class _NoObjects:
    """A kopf selector setting that makes the replay server answer the initial list with nothing, as our own side asks for."""

    def collect(self, _resource: object) -> list[str]:
        return ["none"]


def sync_raw(url: str, path: str) -> float:
    """One request, one orjson.loads, a dict by name."""
    pool = urllib3.PoolManager()
    started = time.perf_counter()
    items = orjson.loads(pool.request("GET", url + path).data)["items"]
    cache = {_key(obj): obj for obj in items}
    elapsed = time.perf_counter() - started
    assert cache
    return elapsed


def sync_ours(url: str, path: str) -> float:
    """An informer from start to synced."""
    informer = _informer(url, path)
    started = time.perf_counter()
    informer.start()
    assert informer.wait_for_sync(LIMIT_S)
    return time.perf_counter() - started


def memory_raw(url: str, path: str) -> float:
    """Resident memory that a plain dict of the same objects costs, managedFields dropped."""
    pool = urllib3.PoolManager()
    pool.request("GET", f"{url}{path}?limit=1")
    before = _resident_bytes()
    cache = {}
    continuation = ""
    while True:
        page = orjson.loads(pool.request("GET", f"{url}{path}?limit=500&continue={continuation or 0}").data)
        for obj in page["items"]:
            obj["metadata"].pop("managedFields", None)
            cache[_key(obj)] = obj
        continuation = page["metadata"].get("continue", "")
        del page, obj
        if not continuation:
            return _resident_bytes() - before


def memory_ours(url: str, path: str) -> float:
    """Resident memory that a synced informer costs."""
    informer = _informer(url, path)
    before = _resident_bytes()
    informer.start()
    assert informer.wait_for_sync(LIMIT_S)
    return _resident_bytes() - before


def hold_ours(url: str, path: str) -> float:
    """The longest time that a thread which only wants to wake every millisecond was kept from running while an informer lists.

    Counted is the processor time this process used during the gap: while another thread of ours holds the interpreter lock it is the
    gap itself, and while the machine gives our processor to somebody else (which no program can prevent) it is less.
    """
    informer = _informer(url, path)
    gaps: list[tuple[float, float]] = []
    stop = threading.Event()

    def beat() -> None:
        last, last_cpu = time.perf_counter(), time.process_time()
        while not stop.is_set():
            time.sleep(0.001)
            now, cpu = time.perf_counter(), time.process_time()
            gaps.append((now - last, cpu - last_cpu))
            last, last_cpu = now, cpu

    heart = threading.Thread(target=beat)
    heart.start()
    informer.start()
    assert informer.wait_for_sync(LIMIT_S)
    stop.set()
    heart.join()
    print("longest gap on the wall clock, ms:", max(gap for gap, _ in gaps) * 1000)
    return max(min(gap, cpu) for gap, cpu in gaps) * 1000


def _informer(url: str, path: str) -> Any:
    from controller_runtime.cache.informer import Informer
    from controller_runtime.resources import PODS

    return Informer(_client(url), PODS if path == PODS_PATH else _machines())


def _machines() -> Any:
    from controller_runtime.resources import Resource

    return Resource(GROUP, VERSION, PLURAL, "Machine", namespaced=False)


def _client(url: str) -> Any:
    from controller_runtime.client.kubernetes_client import Client

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "kubeconfig"
        cluster = {"name": "bench", "cluster": {"server": url}}
        context = {"name": "bench", "context": {"cluster": "bench", "user": "bench"}}
        user = {"name": "bench", "user": {"token": "bench"}}
        config = {"current-context": "bench", "clusters": [cluster], "contexts": [context], "users": [user]}
        path.write_bytes(orjson.dumps(config))
        return Client.from_kubeconfig(path)


def _key(obj: Any) -> str:
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else str(metadata["name"])


def _resident_bytes() -> float:
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # Give back what only the allocator still holds.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) * 1024
    raise AssertionError("no VmRSS in /proc/self/status")


SIDES: dict[str, Callable[[str, Any], float]] = {
    side.__name__: side
    for side in (
        watch_raw, watch_ours, watch_kubernetes, watch_lightkube, watch_kopf,
        sync_raw, sync_ours, memory_raw, memory_ours, hold_ours,
    )
}  # fmt: skip


if __name__ == "__main__":
    name, url, argument = sys.argv[1:4]
    value = SIDES[name](url, int(argument) if argument.isdigit() else argument)
    print(value, flush=True)
    # Watches and threads are still open; nothing of them is worth an orderly end.
    import os

    os._exit(0)
