"""How an operator process stands for election: Lease name and namespace, timings, and a connection of its own, all from settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from controller_runtime.api import KubeClient
from controller_runtime.clock import Clock
from controller_runtime.election import LeaderElector, LeaseTimings
from controller_runtime.metrics import ControllerMetrics
from controller_runtime.settings import OperatorSettings

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


def pod_namespace() -> str:
    """The namespace this pod runs in; `default` outside of a cluster."""
    try:
        return Path(SERVICE_ACCOUNT_NAMESPACE).read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


def _own_client(settings: OperatorSettings, program: str) -> KubeClient:
    # Imported here because it loads the kubernetes package, which a manager built around another client does not need.
    from controller_runtime.client import Client

    patience_s = min(5.0, settings.renew_deadline_s / 2)
    return Client.from_kubeconfig(
        settings.kubeconfig,
        context=settings.context,
        user_agent=f"{program}/leader-election",
        connect_timeout_s=min(2.0, patience_s),
        read_timeout_s=patience_s,
        total_timeout_s=patience_s,
    )
