"""S12 with vLLM itself: two pods of KAITO 0.3's distributed form, played by two torchruns on loopback, serve one model together."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from test.model.serve.running import Server, child, serving
from test.model.vllm.conftest import ENVIRONMENT, FLAGS, START_S
from test.model.vllm.test_served import ASKED, greedy

pytestmark = [pytest.mark.vllm_cpu, pytest.mark.timeout(2 * START_S)]


def torchrun(node: int, port: int) -> list[str]:
    """What the operator's StatefulSet starts in each pod, with one GPU each."""
    place = [
        "--nnodes=2",
        "--nproc_per_node=1",
        f"--node_rank={node}",
        "--master_addr=127.0.0.1",
        f"--master_port={port}",
    ]
    return [sys.executable, "-m", "torch.distributed.run", *place, "--no-python"]


def test_two_pods_serve_one_model_each_is_healthy_and_sigterm_ends_both(llama: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**ENVIRONMENT, "VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    flags, folders = [f"--weights={llama}", *FLAGS], [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    with (
        child(folders[1], *flags, environment=environment, within=torchrun(1, port)).start() as process,
        serving(folders[0], *flags, environment=environment, within=torchrun(0, port), start_s=START_S) as first,
    ):
        at = process.wait_for_output(r"listening on 127\.0\.0\.1:(\d+)", START_S)[1]
        second = Server(process, f"http://127.0.0.1:{at}", folders[1])
        process.wait_for_output("part 2 of 2 computes; /health answers 200", 60)
        assert "--tensor-parallel-size 2" in first.process.output

        assert first.complete(ASKED, max_tokens=12) == greedy(llama, None, 12)

        for pod in (first, second):
            assert [pod.get(path).status for path in ("/health", "/healthz", "/metrics")] == [200] * 3
        refused = second.post("/v1/completions", {"prompt": "a"})
        assert (refused.status, "ask the first pod" in refused.json["detail"]) == (421, True)

        for pod in (first, second):
            pod.process.terminate(120)
            assert "stopping: new requests are refused" in pod.process.output
