"""The published quickstarts of tuning and adapters, with the registry behind a password in between."""

from __future__ import annotations

from typing import Any

from hack.envtest.nodes.registry import GUARDED, PASSWORD
from hack.envtest.nodes.registry import USER as LOGIN
from test.cluster.user import User

TUNING, ADAPTER = "workspace-tuning-phi-3", "workspace-phi-3-mini-adapter"
"""The Workspaces."""
ADAPTER_NAME = "phi-3-adapter"
TAG = "0.0.1"
_SECRET = "registry-secret"
_PLACEHOLDER = "ACR_REPO_HERE.azurecr.io"


def log_in(user: User) -> None:
    """The Secret with the password."""
    login = [f"--docker-server={GUARDED}", f"--docker-username={LOGIN}", f"--docker-password={PASSWORD}"]
    user.kubectl("create", "secret", "docker-registry", _SECRET, *login)


def tuning(user: User, repository: str, url: str, **replaced: str) -> dict[str, Any]:
    """The tuning quickstart with data of one's own, and other words where asked for."""
    filled = {_PLACEHOLDER: GUARDED, "IMAGE_NAME_HERE": repository, "ACR_REGISTRY_SECRET_HERE": _SECRET}
    workspace = user.sample("tuning-phi-3-qlora.yaml", **filled, **replaced)
    workspace["tuning"]["input"]["urls"] = [url]
    return workspace


def adapter(user: User, repository: str, *, with_secret: bool = True, **replaced: str) -> dict[str, Any]:
    """The adapter quickstart with what was tuned."""
    filled = {_PLACEHOLDER: GUARDED, "ADAPTER_HERE": repository}
    workspace = user.sample("inference-phi-3-mini-adapter.yaml", **filled, **replaced)
    if with_secret:
        workspace["inference"]["adapters"][0]["source"]["imagePullSecrets"] = [_SECRET]
    return workspace


def exit_codes(pod: dict[str, Any]) -> dict[str, int]:
    """Of the steps of a tuning pod that has ended, in order."""
    ended = [*pod["status"]["initContainerStatuses"], *pod["status"]["containerStatuses"]]
    return {status["name"]: status["state"]["terminated"]["exitCode"] for status in ended}
