"""Everything that runs on the laptop: localcluster and the two operators, each a process of its own, and a kubectl pointed at them."""

from __future__ import annotations

import json
import shlex
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from hack.demo.installation import NAMESPACE, START_TIMEOUT_S, Installation
from test.support.processes import Process


class World:
    """A context manager. `kubeconfig` is the administrator's; `folder` holds logs and credentials; `product` is there once started."""

    product: Installation

    def __init__(
        self,
        folder: Path,
        *,
        time_scale: float,
        flags: Mapping[str, Sequence[str]] | None = None,
        programs: Path | None = None,
    ) -> None:
        """`flags` are added to those of the operators, by operator; `programs` is localcluster's file of images that really run."""
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.admin_url = ""
        self.time_scale = time_scale
        self._flags = {name: list(values) for name, values in (flags or {}).items()}
        self._programs = programs
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add_flags(self, operator: str, flags: Sequence[str]) -> None:
        """Further ones, known only after the start of what they name."""
        self._flags.setdefault(operator, []).extend(flags)

    def start_cluster(self) -> None:
        """Bring localcluster up; returns when it is ready."""
        flags = ["--dir", str(self.folder), "--time-scale", f"{self.time_scale:g}"]
        flags += ["--programs", str(self._programs)] if self._programs else []
        cluster = Process.module("hack.localcluster", "up", *flags, log_dir=self.folder)
        self._stack.enter_context(cluster.start())
        cluster.wait_for_output("^# ready", START_TIMEOUT_S)
        environment = {}
        for line in cluster.output.splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                environment[name] = shlex.split(value)[0] if value else ""
            elif line.startswith("# admin endpoint"):
                self.admin_url = line.split()[-1]
        settings = {name: list(flags) for name, flags in self._flags.items()}
        settings["gpu-provisioner"] = [f"--time-scale={self.time_scale:g}", *settings.get("gpu-provisioner", [])]
        self.product = Installation(
            self.kubeconfig, self.folder, environment, settings=settings, announce=self._announce
        )
        self._stack.enter_context(self.product)

    def _announce(self, service: str, port: int) -> None:
        """The operators are processes here: their Services lead to them."""
        self.admin("PUT", f"/backends/{service}", {"namespace": NAMESPACE, "url": f"http://127.0.0.1:{port}"})

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """A request to localcluster's admin endpoint."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.admin_url}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read() or b"null")
