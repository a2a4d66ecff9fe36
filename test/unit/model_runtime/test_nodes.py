"""S12: which part of a model over several nodes a process is, as torchrun or vLLM's own options tell it."""

from __future__ import annotations

from typing import Any

import pytest

from model_runtime.serve import nodes
from model_runtime.serve.settings import parse

LEADER = "workspace-0.workspace-headless.default.svc.cluster.local"


def torchrun(rank: int, of: int, each: int) -> dict[str, str]:
    """The variables of one process, as torchrun sets them."""
    return {
        "TORCHELASTIC_RUN_ID": "job",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "RANK": str(rank),
        "WORLD_SIZE": str(of * each),
        "LOCAL_RANK": str(rank % each),
        "LOCAL_WORLD_SIZE": str(each),
        "GROUP_RANK": str(rank // each),
        "GROUP_WORLD_SIZE": str(of),
        "ROLE_RANK": str(rank),
        "MASTER_ADDR": LEADER,
        "MASTER_PORT": "29500",
    }


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, {}),
        (torchrun(0, 1, 1), {}),
        (torchrun(0, 1, 4), {"tensor-parallel-size": 4}),
        (
            torchrun(4, 2, 4),
            {
                "tensor-parallel-size": 8,
                "nnodes": 2,
                "node-rank": 1,
                "master-addr": LEADER,
                "master-port": nodes.MASTER_PORT,
            },
        ),
    ],
)
def test_torchruns_variables_are_vllms_options(environment: dict[str, str], told: dict[str, Any]) -> None:
    assert parse([], environment).vllm == told


def test_what_a_user_wrote_beats_torchrun() -> None:
    told = parse(["--vllm.tensor-parallel-size=2", "--vllm.pipeline-parallel-size=2"], torchrun(0, 2, 2)).vllm
    assert (told["tensor-parallel-size"], told["pipeline-parallel-size"], told["nnodes"]) == ("2", "2", 2)


@pytest.mark.parametrize(
    ("rank", "helper", "port"), [(0, False, 5000), (1, True, 5001), (2, False, 5000), (3, True, 5001)]
)
def test_the_first_process_of_a_node_is_its_part_and_each_has_a_port(rank: int, helper: bool, port: int) -> None:
    parsed = parse([], torchrun(rank, 2, 2))
    assert (parsed.helper, parsed.settings.port) == (helper, port)


def test_a_local_rank_without_torchrun_only_moves_the_port() -> None:
    parsed = parse([], {"LOCAL_RANK": "1"})
    assert (parsed.helper, parsed.settings.port) == (False, 5001)


def test_vllms_own_processes_see_nothing_of_torchrun() -> None:
    environment = {**torchrun(3, 2, 2), "HOME": "/tmp", "NCCL_DEBUG": "INFO"}
    nodes.forget_torchrun(environment)
    assert environment == {"HOME": "/tmp", "NCCL_DEBUG": "INFO"}


@pytest.mark.parametrize(
    ("options", "node"),
    [({}, (0, 1)), ({"nnodes": "3", "node-rank": "2"}, (2, 3)), ({"nnodes": 2, "node_rank": 1}, (1, 2))],
)
def test_the_node_is_read_from_vllms_options(options: dict[str, Any], node: tuple[int, int]) -> None:
    assert nodes.node(options) == node
