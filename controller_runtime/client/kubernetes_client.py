"""The API client that everything uses: verbs from `rest`, HTTP from `transport`, and where the server is from one of two endpoints.

In a pod the service account says all of it (`in_cluster`); everywhere else a kubeconfig does, which the `kubernetes` package reads
(`kubernetes_endpoint`).
"""

from __future__ import annotations

import os

from controller_runtime.client.api import KubeClient, ObjectList, PatchType, Propagation, WatchEvent, WatchStream
from controller_runtime.client.exchange import RequestObserver
from controller_runtime.client.in_cluster import InClusterEndpoint, directly_in_a_pod
from controller_runtime.client.rest import RestClient
from controller_runtime.client.transport import Endpoint, Timeouts, Transport
from controller_runtime.clock import SYSTEM_CLOCK, Clock

__all__ = [
    "Client",
    "KubeClient",
    "ObjectList",
    "PatchType",
    "Propagation",
    "Timeouts",
    "WatchEvent",
    "WatchStream",
]


class Client(RestClient):
    """A thread-safe client of one API server."""

    @classmethod
    def from_kubeconfig(
        cls,
        kubeconfig: str | os.PathLike[str] | None = None,
        *,
        context: str | None = None,
        user_agent: str = "controller-runtime",
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 30.0,
        total_timeout_s: float = 120.0,
        observer: RequestObserver | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> Client:
        """Connect as the kubeconfig says; without one, as the pod's service account when inside a pod, else as `kubectl` would.

        Timeouts are in seconds: to connect, between two reads, and for a whole exchange.
        Nothing is sent yet. Raises `FatalError`, naming file and cure, when the configuration cannot be used.
        """
        endpoint = _endpoint(None if kubeconfig is None else os.fspath(kubeconfig), context, clock)
        transport = Transport(
            endpoint,
            user_agent=user_agent,
            timeouts=Timeouts(connect_timeout_s, read_timeout_s, total_timeout_s),
            clock=clock,
        )
        if observer is not None:
            transport.add_observer(observer)
        return cls(transport)


def _endpoint(kubeconfig: str | None, context: str | None, clock: Clock) -> Endpoint:
    if kubeconfig is None and directly_in_a_pod():
        return InClusterEndpoint(clock=clock)
    from controller_runtime.client.kubernetes_endpoint import KubernetesEndpoint  # 8 MiB that a pod does not need

    return KubernetesEndpoint(kubeconfig, context, clock=clock)
