"""S12: processes that torchrun starts beside the one that serves have an answer of their own. Several nodes: test/model/vllm."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from test.model.serve.running import serving

pytestmark = pytest.mark.model


def test_of_torchruns_processes_one_serves_and_the_others_say_that_they_do_not(llama: Path, tmp_path: Path) -> None:
    """A launcher of KAITO 0.3 for two GPUs on one node; what the first process does is every other test's matter."""
    second = {
        "TORCHELASTIC_RUN_ID": "job",
        "WORLD_SIZE": "2",
        "RANK": "1",
        "LOCAL_RANK": "1",
        "GROUP_RANK": "0",
        "GROUP_WORLD_SIZE": "1",
    }
    with serving(tmp_path, f"--weights={llama}", environment=second) as server:
        assert "the first process of this node has this one's GPU" in server.process.output
        assert [server.get(path).status for path in ("/health", "/healthz", "/metrics")] == [200, 200, 200]
        refused = server.post("/v1/completions", {"prompt": "a"})
        assert (refused.status, "ask the first pod" in refused.json["detail"]) == (421, True)
        assert server.memory_mib < 200, "nothing is loaded"


@pytest.mark.long
def test_one_process_under_torchrun_serves_as_without_it(llama: Path, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1", "--no-python"]
    with serving(tmp_path, f"--weights={llama}", within=launcher) as server:
        assert server.complete("The sky", max_tokens=4)
