"""The tuning quickstart in real containers, its result in a registry behind a password, and that very image in the adapter quickstart."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.network import HUB_ADDRESS
from hack.envtest.nodes.registry import GUARDED, PASSWORD, USER
from test.cluster.user import User

DATA_PORT = 8000
REPOSITORY, TAG = "tuned-phi", "0.0.1"
SECRET = "registry-secret"
TUNING, ADAPTER = "workspace-tuning-phi-3", "workspace-phi-3-mini-adapter"
PLACEHOLDER = "ACR_REPO_HERE.azurecr.io"


@pytest.fixture
def data_url(cluster: NodeCluster, tmp_path: Path) -> str:
    """Training data on a web server."""
    (tmp_path / "train.parquet").write_bytes(b"PAR1 not really")
    server = ["python3", "-m", "http.server", "--bind", HUB_ADDRESS, "--directory", str(tmp_path), str(DATA_PORT)]
    cluster.hub.start(server, tmp_path / "log")
    return f"http://{HUB_ADDRESS}:{DATA_PORT}/train.parquet"


def exported(cluster: NodeCluster, image: str, folder: Path) -> list[str]:
    """Names of the files in an image of the guarded registry, read by crane with the secret's credentials."""
    (folder / "config.json").write_text(
        json.dumps({"auths": {cluster.guarded.address: {"username": USER, "password": PASSWORD}}})
    )
    command = ["env", f"DOCKER_CONFIG={folder}", str(cluster.guarded.crane), "export", "--insecure", image, "-"]
    reply = subprocess.run([*cluster.hub.entrance(), *command], capture_output=True, check=True)
    return tarfile.open(fileobj=io.BytesIO(reply.stdout)).getnames()


def test_tuned_adapter_is_pushed_with_the_secret_and_served_by_the_adapter_quickstart(
    cluster: NodeCluster, user: User, data_url: str, tmp_path: Path
) -> None:
    login = [f"--docker-server={GUARDED}", f"--docker-username={USER}", f"--docker-password={PASSWORD}"]
    user.kubectl("create", "secret", "docker-registry", SECRET, *login)
    tuning = user.sample(
        "tuning-phi-3-qlora.yaml",
        **{PLACEHOLDER: GUARDED, "IMAGE_NAME_HERE": REPOSITORY, "ACR_REGISTRY_SECRET_HERE": SECRET},
    )
    tuning["tuning"]["input"]["urls"] = [data_url]
    user.apply(tuning)
    user.wait_ready(TUNING)

    (pod,) = user.pods(TUNING)
    finished = [*pod["status"]["initContainerStatuses"], *pod["status"]["containerStatuses"]]
    assert [status["name"] for status in finished] == ["data-downloader", TUNING, "packager", "pusher"]
    assert {status["state"]["terminated"]["exitCode"] for status in finished} == {0}
    files = exported(cluster, f"{cluster.guarded.address}/{REPOSITORY}:{TAG}", tmp_path)
    assert {"data/adapter_config.json", "data/adapter_model.safetensors", "bin/cp"} <= set(files)

    adapter = user.sample("inference-phi-3-mini-adapter.yaml", **{PLACEHOLDER: GUARDED, "ADAPTER_HERE": REPOSITORY})
    adapter["inference"]["adapters"][0]["source"]["imagePullSecrets"] = [SECRET]
    user.apply(adapter)
    user.wait_ready(ADAPTER)

    assert "adapters: {'phi-3-adapter': '1.0'}" in user.chat(ADAPTER, "Which adapters?")


def test_without_the_secret_the_registry_refuses_and_the_workspace_says_so(cluster: NodeCluster, user: User) -> None:
    adapter = user.sample("inference-phi-3-mini-adapter.yaml", **{PLACEHOLDER: GUARDED, "ADAPTER_HERE": REPOSITORY})
    user.apply(adapter)

    message = user.wait_reason(ADAPTER, "ImagePullFailed")

    assert GUARDED in message
    assert "401" in message or "authorization" in message.lower() or "credentials" in message, message
