"""How an operator process stands for election: Lease name and namespace, timings and a connection of its own from settings, and the
Events by which people can follow it (`kubectl describe lease`).

A process that has lost the Lease writes nothing more, not even an Event; its successor's Event says from whom it took over.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from controller_runtime.client.api import KubeClient
from controller_runtime.clock import Clock
from controller_runtime.election.elector import LeaderElector
from controller_runtime.election.lease import LeaseTimings
from controller_runtime.events.recorder import EventRecorder
from controller_runtime.metrics.registry import ControllerMetrics
from controller_runtime.settings import OperatorSettings
from controller_runtime.version import user_agent

EVENT_REASON = "LeaderElection"
SERVICE_ACCOUNT_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


def build_elector(
    settings: OperatorSettings,
    program: str,
    client: KubeClient | None,
    *,
    on_started: Callable[[], None],
    on_lost: Callable[[], None],
    metrics: ControllerMetrics,
    clock: Clock,
    exit_process: Callable[[int], None],
) -> LeaderElector:
    """An elector for `program`. `client` of None makes a connection with short timeouts that shares nothing with the others, so that
    a renewal never waits behind a big list."""
    return LeaderElector(
        client or _own_client(settings, program),
        namespace=settings.leader_election_namespace or pod_namespace(),
        name=settings.leader_election_name or program,
        timings=LeaseTimings(settings.lease_duration_s, settings.renew_deadline_s, settings.retry_period_s),
        on_started=on_started,
        on_lost=on_lost,
        metrics=metrics,
        clock=clock,
        exit_process=exit_process,
    )


def announce_start(recorder: EventRecorder, elector: LeaderElector) -> None:
    """Record on the Lease that `elector` leads, and whom it replaced if that one did not step down itself."""
    replaced = f", taking over from {elector.predecessor} which fell silent" if elector.predecessor else ""
    _record(recorder, elector, "StartLeading", f"{elector.identity} became leader{replaced}")


def announce_end(recorder: EventRecorder, elector: LeaderElector) -> None:
    """Record on the Lease that `elector` steps down. Call while it still leads: afterwards nothing may be written."""
    _record(recorder, elector, "StopLeading", f"{elector.identity} stopped leading")


def _record(recorder: EventRecorder, elector: LeaderElector, action: str, note: str) -> None:
    if elector.lease is not None:
        recorder.event(elector.lease, type="Normal", reason=EVENT_REASON, action=action, note=note)


def pod_namespace() -> str:
    """The namespace this pod runs in; `default` outside of a cluster."""
    try:
        return Path(SERVICE_ACCOUNT_NAMESPACE).read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


def _own_client(settings: OperatorSettings, program: str) -> KubeClient:
    # Imported here because it loads the kubernetes package, which a manager built around another client does not need.
    from controller_runtime.client.kubernetes_client import Client

    patience_s = min(5.0, settings.renew_deadline_s / 2)
    return Client.from_kubeconfig(
        settings.kubeconfig,
        context=settings.context,
        user_agent=f"{user_agent(program)} leader-election",
        connect_timeout_s=min(2.0, patience_s),
        read_timeout_s=patience_s,
        total_timeout_s=patience_s,
    )
