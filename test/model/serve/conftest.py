"""One server of a tiny Llama for all tests that only ask it something; tests that change a server start their own."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = importlib.util.find_spec("torch") is not None
collect_ignore_glob = [] if HERE else ["test_*.py"]

if HERE:
    from test.model.serve.running import Server, serving
    from test.support import tiny_models

    @pytest.fixture(scope="session")
    def llama() -> Path:
        return tiny_models.folder("llama")

    @pytest.fixture(scope="session")
    def server(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        # The flags of a published preset among ours: unknown ones must not matter.
        flags = ["--pipeline=text-generation", "--torch_dtype=auto", "--trust_remote_code", "--load_in_4bit=false"]
        with serving(tmp_path_factory.mktemp("server"), f"--weights={llama}", "--model-name=tiny", *flags) as running:
            yield running
