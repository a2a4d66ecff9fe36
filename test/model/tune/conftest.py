"""Training runs on tiny models, shared where several tests look at one result.

Without the model runtime's own environment nothing of this folder can be imported, and so nothing is collected.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = ["test_*.py"] if importlib.util.find_spec("trl") is None else []

if importlib.util.find_spec("trl") is not None:
    from hack.envtest.binaries import client_tools, ensure
    from test.model.tune.lessons import Run, teach
    from test.model.tune.pushing import serving_registry
    from test.support import tiny_models

    @pytest.fixture(autouse=True)
    def quiet_libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """No hub, and the termination message in a file of the test's own, which is the fixture's value."""
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("TERMINATION_LOG_PATH", str(tmp_path / "termination-log"))
        return tmp_path / "termination-log"

    @pytest.fixture(scope="session")
    def weights() -> Callable[[str], Path]:
        """The folder of a tiny model, by family."""
        return tiny_models.folder

    @pytest.fixture(scope="session")
    def taught_llama(tmp_path_factory: pytest.TempPathFactory) -> Run:
        """A LoRA run on the tiny Llama that learnt the lesson, with a fifth of the rows kept back."""
        changes: dict[str, Any] = {"DatasetConfig": {"train_test_split": 0.8}}
        return teach("llama", tmp_path_factory.mktemp("taught-llama"), changes)

    @pytest.fixture(scope="session")
    def crane() -> Path:
        """The registry client of the operator's pusher, built once per machine; an error where it is missing and Go is too."""
        return ensure(client_tools(), "crane") / "crane"

    @pytest.fixture(scope="session")
    def registry(crane: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        """The address of a registry on loopback."""
        with serving_registry(crane, tmp_path_factory.mktemp("registry")) as address:
            yield address
