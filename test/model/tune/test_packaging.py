"""P1: the result becomes an image by the operator's own two steps, and comes back byte by byte from a real registry."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from test.model.tune.lessons import Run
from test.model.tune.pushing import FILES, push, run

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]


def test_the_result_is_packed_and_pushed_by_the_operators_own_steps(
    taught_llama: Run, crane: Path, registry: str, tmp_path: Path
) -> None:
    target = f"{registry}/adapters/lesson:1"
    push(taught_llama.output, target, crane, registry, tmp_path)

    with tarfile.open(fileobj=io.BytesIO(run(crane, "export", "--insecure", target, "-"))) as image:
        assert {member.name for member in image if member.isfile()} == {"bin/cp", *FILES}
        for name in FILES:
            member = image.getmember(name)
            content = image.extractfile(member)
            assert content is not None
            original = taught_llama.output / os.path.basename(name)
            assert hashlib.sha256(content.read()).digest() == hashlib.sha256(original.read_bytes()).digest()
            assert member.mode & 0o444 == 0o444, "an adapter's reader has another user id"


def test_the_operator_runs_exactly_these_steps() -> None:
    from kaito_controller.workloads import tuning_output
    from kaito_controller.workloads.volumes import scratch

    assert tuple(f"data/{name}" for name in tuning_output.RESULT_FILES) == FILES
    packed = tuning_output.package_container(
        "image", scratch("results-volume", "/mnt/output"), tuning_output.LAYER_VOLUME, "packager", None
    )
    assert packed["command"] == ["python3", "-m", "tarfile", "--create", tuning_output.LAYER, *FILES]
    pushed = tuning_output.push_container(
        "r/target:1", "r/base:1", "crane", "pusher", tuning_output.LAYER_VOLUME, None
    )["args"]
    assert pushed == [
        "append",
        "--platform",
        "linux/amd64",
        "--base",
        "r/base:1",
        "--new_layer",
        tuning_output.LAYER,
        "--new_tag",
        "r/target:1",
    ]
