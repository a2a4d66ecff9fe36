"""Only complete checkpoints of the same run are gone on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_runtime.tune.checkpoints import newest, run_identity, seal

pytestmark = pytest.mark.model


def checkpoint(output: Path, step: int, run: str | None = "a") -> Path:
    folder = output / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights" * step)
    (folder / "optimizer.pt").write_bytes(b"state")
    if run is not None:
        seal(folder, run, step)
    return folder


def test_the_newest_by_step_is_taken(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        checkpoint(tmp_path, step)
    assert newest(tmp_path, "a") == (tmp_path / "checkpoint-100", 100)


def test_one_without_a_seal_is_passed_over(tmp_path: Path) -> None:
    checkpoint(tmp_path, 10)
    checkpoint(tmp_path, 20, run=None)
    assert newest(tmp_path, "a") == (tmp_path / "checkpoint-10", 10)


@pytest.mark.parametrize("damage", ["cut", "gone", "added"])
def test_one_whose_files_differ_from_its_seal_is_passed_over(tmp_path: Path, damage: str) -> None:
    checkpoint(tmp_path, 10)
    file = checkpoint(tmp_path, 20) / "optimizer.pt"
    if damage == "cut":
        file.write_bytes(b"")
    elif damage == "gone":
        file.unlink()
    else:
        (file.parent / "more.pt").touch()
    assert newest(tmp_path, "a") == (tmp_path / "checkpoint-10", 10)


def test_one_of_another_run_and_a_broken_seal_are_passed_over(tmp_path: Path) -> None:
    checkpoint(tmp_path, 10, "another")
    (checkpoint(tmp_path, 20) / "complete.json").write_text("{")
    assert newest(tmp_path, "a") is None


def test_no_folder_means_a_fresh_start(tmp_path: Path) -> None:
    assert newest(tmp_path / "missing", "a") is None


def test_everything_that_the_adapter_depends_on_makes_another_run() -> None:
    first = run_identity({"r": 8}, "sha256:1", "sha256:2", 1)
    assert first == run_identity({"r": 8}, "sha256:1", "sha256:2", 1)
    others = [
        run_identity({"r": 16}, "sha256:1", "sha256:2", 1),
        run_identity({"r": 8}, "sha256:9", "sha256:2", 1),
        run_identity({"r": 8}, "sha256:1", "sha256:9", 1),
        run_identity({"r": 8}, "sha256:1", "sha256:2", 2),
    ]
    assert len({first, *others}) == 5
