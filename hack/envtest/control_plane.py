"""A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

There are no kubelets and no nodes here: localcluster's actors supply those as ordinary API clients, or `nodes/` as real ones. RBAC is
on, every request is audited to a file, and each identity gets its own client certificate or a token from the TokenRequest API, so that
the shipped roles are what is tested.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import trustme
import yaml

from hack.waiting import until

START_TIMEOUT_S = 90.0
FIRST_SERVICE_ADDRESS = "10.96.0.1"
"""Of the Service `kubernetes`."""
FLAGS_WITHOUT_NODES = ("--bind-address=127.0.0.1", "--endpoint-reconciler-type=none", "--authorization-mode=RBAC")
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class ControlPlaneFailed(RuntimeError):
    """A component did not come up; the message ends with the last lines it wrote."""


class Program(Protocol):
    """A running component: `subprocess.Popen`, or what a `Host` gives for one."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...
    def send_signal(self, number: int, /) -> None: ...


class Host(Protocol):
    """Where the components run when that is not this machine's own network: real nodes reach them at `address`."""

    address: str

    def start(self, command: Sequence[str], log: Path) -> Program: ...


class ControlPlane:
    """Start with `with ControlPlane(folder) as plane:`; everything it made is gone afterwards.

    With a `host`, the components run there and serve real kubelets; whoever gives one also makes the API server's port of this
    machine's loopback lead there (`port`).
    """

    def __init__(
        self,
        binaries: Path,
        *,
        controllers: bool = True,
        host: Host | None = None,
        folder: Path | None = None,
        node_grace_s: float = 60.0,
    ) -> None:
        """`node_grace_s`: how long a kubelet may be silent before its node is not Ready any more."""
        self.binaries = binaries
        self.folder = folder or Path(tempfile.mkdtemp(prefix="envtest-"))
        self.url = ""
        self._controllers = controllers
        self._host = host
        self._node_grace_s = node_grace_s
        self._ports = {name: free_port() for name in ("etcd", "peer", "api")}
        self._processes: dict[str, Program] = {}
        self._authority = trustme.CA()

    def __enter__(self) -> ControlPlane:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "admin.kubeconfig"

    @property
    def port(self) -> int:
        """Of the API server."""
        return self._ports["api"]

    @property
    def audit_log(self) -> Path:
        """One JSON audit event per line."""
        return self.folder / "audit.log"

    def start(self) -> None:
        """Bring everything up; returns when `/readyz` says ok."""
        self._write_certificates()
        self._spawn("etcd", *self._etcd_flags())
        self.url = f"https://127.0.0.1:{self._ports['api']}"
        self.write_certificate_kubeconfig(self.kubeconfig, "admin", ["system:masters"])
        self.start_api_server()
        if self._controllers:
            self._start_controllers()

    def start_api_server(self) -> None:
        """Start the API server (again) on the same port and data; returns when it is ready."""
        self._spawn("kube-apiserver", *self._api_server_flags())
        self.wait_ready()

    def stop_api_server(self) -> None:
        """Stop only the API server; etcd keeps the state."""
        self._end("kube-apiserver")

    def stop(self) -> None:
        """End every process and remove the folder. Nothing is to be kept, so nobody is given time to shut down."""
        for name in reversed(list(self._processes)):
            self._end(name, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_ready(self) -> None:
        """Wait for the API server's own readiness check."""
        name = "kube-apiserver"
        until(
            self._is_ready,
            START_TIMEOUT_S,
            late=lambda _: ControlPlaneFailed(f"{name} did not become ready:\n{self.log_tail(name)}"),
            over=lambda: self._processes[name].poll() is not None,
        )

    def log_tail(self, component: str, lines: int = 20) -> str:
        """The last lines a component wrote."""
        path = self.folder / f"{component}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"

    def compact(self) -> None:
        """Make every resourceVersion older than now expire, as etcd compaction does."""
        revision = self._etcd("kv/range", {"key": "AA=="})["header"]["revision"]
        self._etcd("kv/compaction", {"revision": revision, "physical": True})

    def write_certificate_kubeconfig(
        self, path: Path, user: str, groups: list[str], *, server: str = "", folder: str = ""
    ) -> Path:
        """A kubeconfig that authenticates as `user` in `groups` by client certificate.

        `server` instead of the loopback address; `folder`: where its reader finds the files that now lie beside it.
        """
        organization = groups[0] if groups else None
        certificate = self._authority.issue_cert(
            "client@envtest.invalid", common_name=user, organization_name=organization
        )
        certificate.private_key_pem.write_to_path(str(path.with_suffix(".key")))
        certificate.cert_chain_pems[0].write_to_path(str(path.with_suffix(".crt")))
        files = Path(folder or path.parent) / path.name
        credentials = {
            "client-certificate": str(files.with_suffix(".crt")),
            "client-key": str(files.with_suffix(".key")),
        }
        authority = Path(folder or self.folder) / "ca.crt"
        return self._write_kubeconfig(path, user, credentials, server=server or self.url, authority=authority)

    def write_token_kubeconfig(self, path: Path, user: str, token_file: Path) -> Path:
        """A kubeconfig that authenticates with the bearer token in `token_file` (re-read by clients when it rotates)."""
        return self._write_kubeconfig(
            path, user, {"tokenFile": str(token_file)}, server=self.url, authority=self.folder / "ca.crt"
        )

    def audit_events(self) -> list[dict[str, Any]]:
        """Every audited request so far, oldest first; the user name of a caller who could not be authenticated is empty."""
        lines = self.audit_log.read_text().splitlines() if self.audit_log.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("}")]
        for event in events:
            event["user"].setdefault("username", "")
        return events

    # -- how each component is started ------------------------------------------------------------------------------------------

    def _etcd_flags(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd", "peer"))
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=error",
        ]

    def _api_server_flags(self) -> list[str]:
        (self.folder / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
        return [
            f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            f"--secure-port={self._ports['api']}",
            *(self._flags_for_nodes() if self._host else FLAGS_WITHOUT_NODES),
            f"--tls-cert-file={self.folder / 'server.crt'}",
            f"--tls-private-key-file={self.folder / 'server.key'}",
            f"--client-ca-file={self.folder / 'ca.crt'}",
            f"--service-account-key-file={self.folder / 'accounts.key'}",
            f"--service-account-signing-key-file={self.folder / 'accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--audit-policy-file={self.folder / 'audit-policy.yaml'}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-mode=blocking",
            "--shutdown-delay-duration=0",
        ]

    def _flags_for_nodes(self) -> list[str]:
        """Kubelets and pods reach the API server, which reaches kubelets (logs, exec) at their nodes' addresses."""
        assert self._host
        client = self.write_certificate_kubeconfig(
            self.folder / "kubelet-client.kubeconfig", "kube-apiserver-kubelet-client", ["system:masters"]
        )
        return [
            "--bind-address=0.0.0.0",
            f"--advertise-address={self._host.address}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-client-certificate={client.with_suffix('.crt')}",
            f"--kubelet-client-key={client.with_suffix('.key')}",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _start_controllers(self) -> None:
        manager = self.write_certificate_kubeconfig(self.folder / "manager.kubeconfig", "manager", ["system:masters"])
        common = [f"--kubeconfig={manager}", "--leader-elect=false", "--secure-port=0"]
        accounts = [
            f"--service-account-private-key-file={self.folder / 'accounts.key'}",
            f"--root-ca-file={self.folder / 'ca.crt'}",
        ]
        self._spawn(
            "kube-controller-manager", *common, *accounts, f"--node-monitor-grace-period={self._node_grace_s:g}s"
        )
        self._spawn("kube-scheduler", *common)

    def _write_certificates(self) -> None:
        addresses = [self._host.address, FIRST_SERVICE_ADDRESS] if self._host else []
        server = self._authority.issue_cert(
            "127.0.0.1", "localhost", "kubernetes.default.svc", *addresses, common_name="kube-apiserver"
        )
        accounts = self._authority.issue_cert("accounts.envtest.invalid")
        self._authority.cert_pem.write_to_path(str(self.folder / "ca.crt"))
        server.cert_chain_pems[0].write_to_path(str(self.folder / "server.crt"))
        server.private_key_pem.write_to_path(str(self.folder / "server.key"))
        accounts.private_key_pem.write_to_path(str(self.folder / "accounts.key"))

    def _write_kubeconfig(
        self, path: Path, user: str, credentials: dict[str, str], *, server: str, authority: Path
    ) -> Path:
        cluster = {"server": server, "certificate-authority": str(authority)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "envtest",
            "clusters": [{"name": "envtest", "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "envtest", "context": {"cluster": "envtest", "user": user}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    # -- processes --------------------------------------------------------------------------------------------------------------

    def _spawn(self, name: str, *flags: str) -> None:
        binary = self.binaries / name
        if not os.access(binary, os.X_OK):
            raise ControlPlaneFailed(
                f"{binary} is missing: run `python -m hack.envtest build`, or put it into the folder that KUBEBUILDER_ASSETS names"
            )
        log_file = self.folder / f"{name}.log"
        if self._host:
            self._processes[name] = self._host.start([str(binary), *flags], log_file)
            return
        with log_file.open("ab") as log:
            self._processes[name] = subprocess.Popen([str(binary), *flags], stdout=log, stderr=log, cwd=self.folder)

    def _end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self._processes.pop(name, None)
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _is_ready(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.load_cert_chain(str(self.kubeconfig.with_suffix(".crt")), str(self.kubeconfig.with_suffix(".key")))
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", context=context, timeout=5) as reply:
                return bool(reply.read() == b"ok")
        except OSError:
            return False

    def _etcd(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        """etcd's own JSON gateway; keys are base64."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._ports['etcd']}/v3/{call}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            answer: dict[str, Any] = json.loads(reply.read())
            return answer


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
