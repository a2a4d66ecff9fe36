"""The tuning quickstart in real containers, its result in a registry behind a password, and that very image in the adapter quickstart."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.registry import GUARDED, PASSWORD, USER
from test.cluster.tuned import ADAPTER, TAG, TUNING, adapter, exit_codes, log_in, tuning
from test.cluster.user import User

REPOSITORY = "tuned-phi"


def exported(cluster: NodeCluster, image: str, folder: Path) -> list[str]:
    """Names of the files in an image of the guarded registry, read by crane with the secret's credentials."""
    (folder / "config.json").write_text(
        json.dumps({"auths": {cluster.guarded.address: {"username": USER, "password": PASSWORD}}})
    )
    command = ["env", f"DOCKER_CONFIG={folder}", str(cluster.guarded.crane), "export", "--insecure", image, "-"]
    reply = subprocess.run([*cluster.hub.entrance(), *command], capture_output=True, check=True)
    return tarfile.open(fileobj=io.BytesIO(reply.stdout)).getnames()


def test_tuned_adapter_is_pushed_with_the_secret_and_served_by_the_adapter_quickstart(
    cluster: NodeCluster, user: User, website: Callable[[str, bytes], str], tmp_path: Path
) -> None:
    log_in(user)
    user.apply(tuning(user, REPOSITORY, website("train.parquet", b"PAR1 not really")))
    user.wait_ready(TUNING)

    (pod,) = user.pods(TUNING)
    assert list(exit_codes(pod).items()) == [("data-downloader", 0), (TUNING, 0), ("packager", 0), ("pusher", 0)]
    files = exported(cluster, f"{cluster.guarded.address}/{REPOSITORY}:{TAG}", tmp_path)
    assert {"data/adapter_config.json", "data/adapter_model.safetensors", "bin/cp"} <= set(files)

    user.apply(adapter(user, REPOSITORY))
    user.wait_ready(ADAPTER)

    assert "adapters: {'phi-3-adapter': '1.0'}" in user.chat(ADAPTER, "Which adapters?")


def test_without_the_secret_the_registry_refuses_and_the_workspace_says_so(cluster: NodeCluster, user: User) -> None:
    user.apply(adapter(user, REPOSITORY, with_secret=False))

    message = user.wait_reason(ADAPTER, "ImagePullFailed")

    assert GUARDED in message
    assert "401" in message or "authorization" in message.lower() or "credentials" in message, message
