"""Both operators as processes on localcluster, strokes against it, and the question whether they are still alive and well."""

from __future__ import annotations

import itertools
import json
import re
import socket
from pathlib import Path
from typing import Any, Self

import urllib3

from hack.localcluster.faults import Fault, FaultKind, Rule
from test.fuzz.strokes import CATALOGUE, CLOUD, OFFER, TEAM, Stroke
from test.support.kaito_rig import RELEASE_NAMESPACE, Rig
from test.support.processes import Process
from test.support.raw_api import RawApi
from test.support.workspace_world import workspace

ANSWER_S = 5.0
PUBLISHING = {"GPU_PROVISIONER_LEADER_ELECTION_NAMESPACE": RELEASE_NAMESPACE, "GPU_PROVISIONER_OFFER_PERIOD_S": "1"}
"""The cloud is asked for quotas all the time, so that its replies can be hostile too."""
READY_S = 90.0
MEMORY_LIMIT = 512 * 2**20
"""What the shipped manifests give each operator."""
WELL = "well"
_SERIOUS = re.compile(r"^controller_runtime_reconcile_(panics|timeouts)_total\{.*\} ([1-9].*)$", re.MULTILINE)


class Harmed(AssertionError):
    """An operator has died, hangs, met what it did not foresee, or serves others no more."""


class WatchedRig(Rig):
    """The rig with the probe and metrics ports of both operators open."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(folder, **settings)
        self.ports = dict(
            zip(("KAITO", "GPU_PROVISIONER"), zip(_free_ports(2), _free_ports(2), strict=True), strict=True)
        )

    @property
    def _environment(self) -> dict[str, str]:
        opened = {}
        for prefix, (probes, metrics) in self.ports.items():
            opened[f"{prefix}_HEALTH_PROBE_BIND_ADDRESS"] = f"127.0.0.1:{probes}"
            opened[f"{prefix}_METRICS_BIND_ADDRESS"] = f"127.0.0.1:{metrics}"
        return {**super()._environment, **opened}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Arena:
    """A context manager."""

    def __init__(self, folder: Path, *, admission: bool = False) -> None:
        """`admission`: with the admission policy in force, whose rules then judge all that is thrown."""
        self._rig = WatchedRig(
            folder,
            admission=admission,
            environment=PUBLISHING,
            machine_timeout_s="60",
            max_nodes_per_namespace="1000",
            max_nodes="1000",
        )
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(ANSWER_S))
        self._serial = itertools.count()
        self.accepted: dict[str, int] = {}
        self.refused = 0

    def __enter__(self) -> Self:
        self._rig.__enter__()
        self._api = RawApi(self._rig.cluster.kubeconfig)
        for namespace in (TEAM, WELL):
            self._rig.kubectl("create", "namespace", namespace)
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
        self._rig.__exit__()

    def strike(self, volley: list[Stroke]) -> None:
        """Send them all; then everybody must still be alive and well."""
        for stroke in volley:
            if stroke["method"] == CLOUD:
                self._mislead(stroke)
                continue
            query: dict[str, Any] = {"kind": stroke["kind"]} if "kind" in stroke else {}
            reply = self._api.call(stroke["method"], stroke["path"], stroke["body"], **query)
            if reply.code < 300:
                target = _target(stroke)
                self.accepted[target] = self.accepted.get(target, 0) + 1
            else:
                self.refused += 1
        self.look()

    def _mislead(self, stroke: Stroke) -> None:
        fault = Fault(FaultKind.BODY, message=json.dumps(stroke["body"]))
        self._rig.cluster.faults.add(Rule(fault, server="arm", resource=stroke["path"]))
        target = f"{CLOUD} {stroke['path']}"
        self.accepted[target] = self.accepted.get(target, 0) + 1

    def look(self) -> None:
        """Raises `Harmed`."""
        for prefix, process in (("KAITO", self._rig.controller), ("GPU_PROVISIONER", self._rig.provisioner)):
            self._look_at(prefix, process)

    def _look_at(self, prefix: str, process: Process) -> None:
        if process.exit_code is not None:
            raise Harmed(f"{process.name} ended with {process.exit_code}: {process.output[-4000:]}")
        probes, metrics = self._rig.ports[prefix]
        for url in (f"http://127.0.0.1:{probes}/healthz?verbose", f"http://127.0.0.1:{probes}/readyz?verbose"):
            code, text = self._ask(url)
            if code != 200:
                raise Harmed(f"{process.name}: {url} answers {code}: {text}\n{process.output[-3000:]}")
        told = _SERIOUS.findall(self._ask(f"http://127.0.0.1:{metrics}/metrics")[1])
        if told:
            raise Harmed(f"{process.name} counts {told}: {_last_traceback(process.output)}")
        resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096
        if resident > MEMORY_LIMIT:
            raise Harmed(f"{process.name} has grown to {resident >> 20} MiB")

    def _ask(self, url: str) -> tuple[int, str]:
        try:
            reply = self._http.request("GET", url)
        except urllib3.exceptions.HTTPError as error:
            return 0, str(error)
        return reply.status, reply.data.decode("utf-8", "replace")

    def serve_another(self) -> None:
        """A Workspace of somebody else becomes ready all the same, and goes again.

        What the cloud and the ConfigMaps in the operators' namespace say of quotas, models and types is the truth: they are put right.
        """
        name = f"well-{next(self._serial)}"
        self._rig.cluster.faults.clear()
        for config_map in (OFFER, CATALOGUE):
            self._rig.kubectl("delete", "configmap", config_map, "-n", RELEASE_NAMESPACE, "--ignore-not-found")
        self._rig.kubectl.apply(workspace(name, WELL))
        try:
            self._rig.wait_ready(name, WELL, READY_S)
        except AssertionError as error:
            raise Harmed(f"a Workspace of somebody else does not become ready: {error}") from error
        self._rig.kubectl("delete", "workspace", name, "-n", WELL, "--wait=false")


def _target(stroke: Stroke) -> str:
    """Verb and resource, such as `PATCH pods/status`."""
    parts = stroke["path"].split("/")
    if stroke["method"] == "POST":
        return f"POST {parts[-1]}"
    return f"{stroke['method']} {parts[-3]}/status" if parts[-1] == "status" else f"{stroke['method']} {parts[-2]}"


def _last_traceback(output: str) -> str:
    at = max(output.rfind("unforeseen"), output.rfind("longer than its budget"))
    return output[max(0, at - 300) : at + 3500]
