"""How long things take in the simulated world, in realistic seconds; the timeline divides them all by one factor.

Typical figures of AKS and of a kubelet with large images. A test that needs one of them to be zero or very long replaces just that one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds of the simulated world."""

    pool_create_s: float = 180.0
    pool_update_s: float = 60.0
    pool_delete_s: float = 120.0
    node_join_s: float = 15.0
    """From the end of the pool operation to the Node object."""
    node_ready_s: float = 20.0
    """From the Node object to Ready."""
    gpu_ready_s: float = 40.0
    """From Ready to nvidia.com/gpu in the Node's capacity: driver and device plugin start late."""
    node_removal_s: float = 10.0
    """From the end of the VM to the end of its Node object."""
    eviction_notice_s: float = 30.0
    """From the notice that a spot VM is taken back until it is: Azure gives at least so much."""
    image_pull_s: float = 30.0
    container_start_s: float = 2.0
    model_load_s: float = 60.0
    """From the start of a container that serves port 5000 to its first good answer: weights are loaded."""
    weights_fetch_s: float = 300.0
    """Before that, where the project's runtime image fetches them from a hub."""
    training_s: float = 300.0
    """How long its trainer runs."""
    sandbox_s: float = 1.0
    job_container_run_s: float = 60.0
    """How long a container of a pod that is meant to end runs."""
    init_container_run_s: float = 5.0
    crash_after_s: float = 5.0
    """How long a container that is made to fail lives."""
    restart_backoff_s: float = 10.0
    restart_backoff_cap_s: float = 300.0
    pod_termination_s: float = 2.0
    """How long a container takes to end after SIGTERM; at most the pod's grace period."""
