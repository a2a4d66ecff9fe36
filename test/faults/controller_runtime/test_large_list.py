"""What a list of 5,000 pods of 11 KB costs the process that caches them: memory, and time for its other threads."""

import subprocess
import sys

import orjson
import pytest

from test.bench.objects import build_pod
from test.support.scripted_server import Request, ScriptedServer, Wire, write_kubeconfig

pytestmark = pytest.mark.faults

PODS, PAGE = 5_000, 500
ROUNDS = 3


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What `test.support.cache_probe` measured against a server that pages."""
    items = [orjson.dumps(build_pod(number, number + 1)) for number in range(PODS)]
    assert 10_000 < len(items[0]) < 12_000

    def page(request: Request, wire: Wire) -> None:
        if request.is_watch:
            wire.start_stream()
            return wire.hold()
        start = int(request.query.get("continue", "0"))
        metadata = {"resourceVersion": str(PODS + 1)}
        if start + PAGE < PODS:
            metadata["continue"] = str(start + PAGE)
        head = orjson.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": metadata})
        return wire.reply(200, head[:-1] + b',"items":[' + b",".join(items[start : start + PAGE]) + b"]}")

    directory = tmp_path_factory.mktemp("large-list")
    with ScriptedServer(page) as server:
        kubeconfig = write_kubeconfig(directory / "kubeconfig", server.url)
        command = [sys.executable, "-m", "test.support.cache_probe", str(kubeconfig), str(ROUNDS)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    return orjson.loads(done.stdout.splitlines()[-1])


def test_a_cache_of_5000_stripped_pods_takes_at_most_260_megabytes(report):
    assert report["objects"] == PODS
    assert report["growth_bytes"] <= 260e6


def test_while_5000_pods_are_listed_no_other_thread_waits_for_100_ms(report):
    # Now and then a busy machine runs one of our threads and not the other; a hold of our own making shows every time.
    assert min(report["holds_s"]) < 0.1
