"""What a user of the cluster does and sees: kubectl in a namespace, waits with a limit, a throw-away pod with curl."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import yaml

from hack.envtest.nodes.cluster import NodeCluster
from hack.render.kustomize import ROOT
from test.support.processes import wait_until

SAMPLES = ROOT / "config" / "samples"
READY_TIMEOUT_S = 240.0
GONE_TIMEOUT_S = 180.0
LABEL = "kaito.sh/workspace"
_numbers = itertools.count(1)


class User:
    """One namespace of one cluster."""

    def __init__(self, cluster: NodeCluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def kubectl(self, *arguments: str, stdin: str = "", timeout_s: float = 120.0) -> str:
        """kubectl in the namespace; its output."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin, timeout_s=timeout_s)

    def apply(self, *objects: dict[str, Any]) -> None:
        """`kubectl apply -f -`."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def sample(self, file: str, **replaced: str) -> dict[str, Any]:
        """A published quickstart, its placeholders filled in (longest first)."""
        text = (SAMPLES / file).read_text()
        for placeholder in sorted(replaced, key=len, reverse=True):
            assert placeholder in text, placeholder
            text = text.replace(placeholder, replaced[placeholder])
        document: dict[str, Any] = yaml.safe_load(text)
        return document

    def objects(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """`kubectl get … -o json`."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *arguments, "-o", "json"))["items"]
        return items

    def condition(self, workspace: str, kind: str = "WorkspaceReady") -> dict[str, Any]:
        """A condition of a Workspace; {} when it has none."""
        for found in self.objects("workspaces"):
            if found["metadata"]["name"] == workspace:
                conditions = found.get("status", {}).get("conditions") or []
                return next((c for c in conditions if c["type"] == kind), {})
        return {}

    def columns(self, workspace: str, *flags: str) -> dict[str, str]:
        """`kubectl get workspace`: the columns by their headers, "" for an empty one."""
        header, row = self.kubectl("get", "workspace", workspace, *flags).splitlines()
        starts = [(found.group(), found.start()) for found in re.finditer(r"\S+", header)]
        ends = [start for _, start in starts[1:]] + [len(row)]
        return {name: row[start:end].strip() for (name, start), end in zip(starts, ends, strict=True)}

    def wait(
        self, condition: Callable[[], Any], what: str | Callable[[], str], timeout_s: float = READY_TIMEOUT_S
    ) -> Any:
        """Its first truthy value."""
        try:
            return wait_until(condition, timeout_s, what if isinstance(what, str) else "it", step_s=1.0)
        except AssertionError as error:
            raise AssertionError(f"{what if isinstance(what, str) else what()}\n{self.state()}") from error

    def wait_ready(self, workspace: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until WorkspaceReady is True."""
        self.wait(
            lambda: self.condition(workspace).get("status") == "True",
            lambda: f"{workspace} did not get ready: {self.condition(workspace)}",
            timeout_s,
        )

    def wait_reason(self, workspace: str, reason: str, kind: str = "WorkspaceReady") -> str:
        """Until the condition has that reason; its message."""

        def matching() -> dict[str, Any]:
            found = self.condition(workspace, kind)
            return found if found.get("reason") == reason else {}

        found = self.wait(matching, lambda: f"{workspace} does not say {reason}: {self.condition(workspace, kind)}")
        return str(found["message"])

    def pods(self, workspace: str) -> list[dict[str, Any]]:
        """Of a Workspace."""
        return self.objects("pods", "-l", f"{LABEL}={workspace}")

    def machines(self, workspace: str) -> list[str]:
        """Names of its Machines."""
        found = self.objects("machines", "-l", f"{LABEL}={workspace},kaito.sh/workspacenamespace={self.namespace}")
        return [machine["metadata"]["name"] for machine in found]

    def curl(self, *arguments: str) -> str:
        """The published way to ask: a throw-away pod with curl. Once more when nothing is heard: kubectl may miss what a pod says that ends
        while kubectl attaches to it."""

        def once() -> str:
            name = f"curl-{next(_numbers)}"
            run = ["run", name, "-i", "--rm", "--quiet", "--restart=Never", "--image=curlimages/curl", "--command"]
            return self.kubectl(*run, "--", "curl", "--silent", "--show-error", "--max-time", "30", *arguments)

        return str(self.wait(once, f"an answer to curl {' '.join(arguments)}", timeout_s=60.0))

    def chat(self, address: str, prompt: str) -> str:
        """What the model at `http://<address>/chat` answers."""
        headers = ["-H", "accept: application/json", "-H", "Content-Type: application/json"]
        said = self.curl("-X", "POST", f"http://{address}/chat", *headers, "-d", json.dumps({"prompt": prompt}))
        # kubectl prints what a short-lived pod said twice when it attached just before the end and then reads the log.
        answer, _ = json.JSONDecoder().raw_decode(said)
        return str(answer["Result"])

    def state(self) -> str:
        """For a failure's message: what is there, and the last events."""
        everything = self.cluster.kubectl.run("get", "workspaces,machines,nodes,pods", "-A", "-o", "wide").stdout
        events = self.cluster.kubectl.run("get", "events", "-A", "--sort-by=.lastTimestamp").stdout.splitlines()
        return "\n".join([everything, *events[-30:], str(self.cluster.vms.failures() or "")])

    def leave(self) -> None:
        """Delete the namespace and, as that takes its objects in no order, the Workspaces before it."""
        self.kubectl("delete", "workspaces", "--all", "--wait=false")
        self.cluster.kubectl("delete", "namespace", self.namespace, "--wait=false")
