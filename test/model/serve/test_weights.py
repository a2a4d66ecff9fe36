"""S6: weights from a hub and from a registry, and from nowhere else than the setting says."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_runtime.adapters.pull import main, pull
from model_runtime.errors import UserError
from model_runtime.oci.reference import parse_reference
from model_runtime.oci.registry import Registry
from test.model.serve import images
from test.model.serve.lora import make_adapter
from test.model.serve.running import failed_start, serving
from test.support.hub_server import COMMIT, Hub
from test.support.hub_server import serving as hub_serving

pytestmark = pytest.mark.model

REPOSITORY = "owner/tiny"


@pytest.fixture
def hub(llama: Path) -> Iterator[Hub]:
    with hub_serving(Hub(REPOSITORY, llama, token="secret")) as running:
        yield running


@pytest.fixture
def flags(hub: Hub, tmp_path: Path) -> list[str]:
    (tmp_path / "token").write_text("secret\n")
    kept = f"--weights-folder={tmp_path / 'kept'}"
    return [
        f"--weights=hf://{REPOSITORY}@{COMMIT}",
        f"--hf-endpoint={hub.url}",
        f"--hf-token-file={tmp_path / 'token'}",
        kept,
    ]


def test_the_hub_is_asked_once_and_the_weights_are_verified(hub: Hub, flags: list[str], tmp_path: Path) -> None:
    with serving(tmp_path, *flags) as server:
        assert server.get("/v1/models").json["data"][0]["id"] == "tiny"
        assert (
            server.metric("model_runtime_weights_fetched_bytes") == server.metric("model_runtime_weights_bytes") > 10**6
        )
    asked = len(hub.requests)
    with serving(tmp_path, *flags) as server:
        assert server.complete("The sky", max_tokens=8)
        assert "is here and verified" in server.process.output
    assert len(hub.requests) == asked


def test_a_download_that_broke_off_is_continued_and_metrics_answer_meanwhile(
    llama: Path, flags: list[str], tmp_path: Path
) -> None:
    """The client writes in pieces of 10 MB, so what is to be continued must be larger."""
    shutil.copytree(llama, tmp_path / "large")
    (tmp_path / "large" / "unused.safetensors").write_bytes(bytes(30_000_000))
    with hub_serving(Hub(REPOSITORY, tmp_path / "large", token="secret")) as hub:
        hub.break_after = 15_000_000
        with serving(tmp_path, *flags, f"--hf-endpoint={hub.url}", ready=False) as server:
            assert server.get("/metrics").status == 200
            assert server.get("/health").status == 503
            server.process.wait_for(lambda: server.get("/health").status == 200, 240, "/health")
    assert any(re.fullmatch(r"bytes=[1-9]\d*-.*", asked) for asked in hub.ranges)


def test_sigterm_ends_a_server_whose_hub_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(120)
        endpoint = f"--hf-endpoint=http://127.0.0.1:{silent.getsockname()[1]}"
        flags = [f"--weights=hf://owner/name@{'0' * 40}", endpoint, f"--weights-folder={tmp_path}"]
        with serving(tmp_path, *flags, ready=False) as server, silent.accept()[0]:
            assert server.get("/health").status == 503
            assert server.process.terminate(20) == 0
            assert "stopped before the model was loaded" in server.process.output


def test_a_damaged_file_is_removed_and_told(hub: Hub, flags: list[str], tmp_path: Path) -> None:
    hub.damage = True
    message = failed_start(tmp_path, *flags)
    assert "model.safetensors" in message
    assert not (tmp_path / "kept" / "owner--tiny" / "model.safetensors").exists()


def test_a_repository_that_is_not_there_or_not_open_is_told_with_the_cure(hub: Hub, tmp_path: Path) -> None:
    message = failed_start(
        tmp_path, f"--weights=hf://{REPOSITORY}", f"--hf-endpoint={hub.url}", f"--weights-folder={tmp_path}"
    )
    assert message.endswith(f"is not on {hub.url}; check owner and name; a private repository needs --hf-token-file.")


# -- registry ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with images.registry(tmp_path) as address:
        yield address


def test_weights_come_out_of_an_artifact(registry: str, llama: Path, tmp_path: Path) -> None:
    image = f"{registry}/models/tiny:1"
    images.push(image, {f"weights/{path.name}": path for path in llama.iterdir()}, tmp_path)
    with serving(tmp_path, f"--weights=oci://{image}", f"--weights-folder={tmp_path / 'kept'}") as server:
        assert server.get("/v1/models").json["data"][0]["id"] == "tiny"
        assert server.complete("The sky", max_tokens=8)


def test_an_adapter_image_without_a_base_is_unpacked(registry: str, llama: Path, tmp_path: Path) -> None:
    made = make_adapter(llama, tmp_path / "made", 1)
    (made / "adapter_config.json").chmod(0o600)
    images.push(f"{registry}/adapters/first:1", {"data": made, "etc/other": made / "README.md"}, tmp_path)
    pull(f"{registry}/adapters/first:1", tmp_path / "first")
    for path in made.iterdir():
        assert (tmp_path / "first" / path.name).read_bytes() == path.read_bytes()
    assert (tmp_path / "first" / "adapter_config.json").stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == sorted(path.name for path in made.iterdir())


def test_a_data_image_is_unpacked_by_the_program_with_credentials_of_a_folder(
    registry: str, llama: Path, tmp_path: Path
) -> None:
    images.push(f"{registry}/data:1", {"data/rows.json": llama / "config.json"}, tmp_path)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "0.json").write_text("{}")
    told = ["--any-files", f"--credentials={tmp_path / 'credentials'}"]
    assert main([f"{registry}/data:1", str(tmp_path / "out"), *told]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rows.json"]


def test_of_several_files_with_credentials_the_one_that_knows_the_registry_counts(tmp_path: Path) -> None:
    for number, host in enumerate(("other.example.com", "r.example.com")):
        auths = {"auths": {host: {"username": "user", "password": str(number)}}}
        (tmp_path / f"{number}.json").write_text(json.dumps(auths))
    client = Registry(parse_reference("r.example.com/a:1"), sorted(tmp_path.glob("*.json")))
    assert base64.b64decode(client.basic) == b"user:1"


def test_an_image_without_an_adapter_is_told(registry: str, llama: Path, tmp_path: Path) -> None:
    images.push(f"{registry}/other:1", {"data/config.json": llama / "config.json"}, tmp_path)
    with pytest.raises(
        UserError, match=r"holds no /data/adapter_config.json; build it with the adapter's files in /data"
    ):
        pull(f"{registry}/other:1", tmp_path / "other")


def test_a_tag_that_is_not_there_is_told_in_the_termination_message(registry: str, tmp_path: Path) -> None:
    message = failed_start(tmp_path, f"--weights=oci://{registry}/none:1", f"--weights-folder={tmp_path}")
    assert message.endswith("check repository, tag and digest.")


def test_a_folder_is_never_looked_for_on_the_network(hub: Hub, tmp_path: Path) -> None:
    message = failed_start(tmp_path, f"--weights={REPOSITORY}", f"--hf-endpoint={hub.url}")
    assert "is no folder" in message
    assert hub.requests == []
    assert json.dumps(hub.ranges) == "[]"
