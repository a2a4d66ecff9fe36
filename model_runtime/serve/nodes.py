"""A model over several nodes: which part of it this process is. Pure.

Two ways lead here. KAITO 0.3 starts `torchrun` in every pod, which starts this program once for each GPU and tells it its place in
variables. vLLM needs one process for each node, which has all its GPUs; so the first of a node is the server's part there, and the others
have nothing to do but to answer /health. Or vLLM's own options say it: `--vllm.nnodes`, `--vllm.node-rank`, `--vllm.master-addr`.

The first node serves. The others compute, answer /health of their own, and refuse requests.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

MASTER_PORT = 29501
"""Where vLLM's parts meet, vLLM's own default; torchrun's port is taken by torchrun."""
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_PREFIXES = ("GROUP_", "ROLE_", "TORCHELASTIC_")


def from_torchrun(environment: Mapping[str, str]) -> dict[str, Any]:
    """vLLM's options for what torchrun told; none when it did not start us."""
    if "TORCHELASTIC_RUN_ID" not in environment or environment.get("WORLD_SIZE", "1") == "1":
        return {}
    parallel = {"tensor-parallel-size": int(environment["WORLD_SIZE"])}
    nodes = int(environment["GROUP_WORLD_SIZE"])
    if nodes == 1:
        return parallel
    place = {"nnodes": nodes, "node-rank": int(environment["GROUP_RANK"])}
    return {**parallel, **place, "master-addr": environment["MASTER_ADDR"], "master-port": MASTER_PORT}


def forget_torchrun(environment: MutableMapping[str, str]) -> None:
    """Takes torchrun's variables away: vLLM's own processes, which have other ranks, would believe them."""
    for name in [name for name in environment if name in _TORCHRUN or name.startswith(_PREFIXES)]:
        del environment[name]


def is_helper(environment: Mapping[str, str]) -> bool:
    """Whether another process of this node, started by the same torchrun, has this one's GPU."""
    return "TORCHELASTIC_RUN_ID" in environment and environment.get("LOCAL_RANK", "0") != "0"


def node(options: Mapping[str, Any]) -> tuple[int, int]:
    """(this node, of how many), from vLLM's options, whose names may have underscores in a file."""
    named = {str(name).replace("_", "-"): value for name, value in options.items()}
    return int(named.get("node-rank") or 0), int(named.get("nnodes") or 1)
