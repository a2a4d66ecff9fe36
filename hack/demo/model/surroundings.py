"""What the real model needs around the cluster, all on loopback: a hub with its weights, and a registry with the lesson.

And the file that tells localcluster which images have their programs here: the runtime image is `.venv-model`, crane the pinned binary. A
cluster in a data centre has all of this already; nothing in here is part of the product.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from hack.envtest.binaries import client_tools, ensure
from hack.render.kustomize import ROOT
from hack.waiting import until
from kaito_controller.workloads.context import DEFAULT_CRANE_IMAGE
from test.model.tune.pushing import base_image, run, serving_registry
from test.support.hub_server import Hub, serving

PYTHON = ROOT / ".venv-model" / "bin" / "python"
RUNTIME_IMAGE = "registry.example.com/kaito-model-runtime:demo"
REPOSITORY = "HuggingFaceTB/SmolLM2-135M-Instruct"  # pragma: allowlist secret (a name)
STEP_S = 0.2
REASSURE_S = 10.0
PREPARE_TIMEOUT_S = 3600.0
"""Of the download on a slow line and the conversion."""
Say = Callable[[str], None]


class NotPrepared(RuntimeError):
    """Something could not be installed or converted; the message ends with what was said."""


class Surroundings:
    """A context manager. After `start`, `flags` are what kaito-controller is told, and `programs` is localcluster's file."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say
        self._stack = ExitStack()
        self.registry = ""
        self.data_image = ""
        self.flags: list[str] = []
        self.programs = folder / "programs.json"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, lesson: str) -> None:
        """Everything up; `lesson` is the content of the data file."""
        weights = self._weights()
        crane = ensure(client_tools(), "crane") / "crane"
        hub = self._stack.enter_context(serving(Hub(REPOSITORY, weights)))
        self._say(f"a hub with {REPOSITORY} is at {hub.url}")
        self.registry = self._stack.enter_context(serving_registry(crane, self._made("registry")))
        base = base_image(crane, self.registry, self._made("base"))
        self._say(f"a registry is at {self.registry}, empty but for the base of adapter images")
        self.data_image = self._push_data(crane, lesson)
        self._say(f"the lesson is pushed as the image {self.data_image}")
        self._write_programs(crane)
        self.flags = [
            f"--model-runtime-image={RUNTIME_IMAGE}",
            f"--hub-endpoint={hub.url}",
            f"--adapter-base-image={base}",
        ]

    def _weights(self) -> Path:
        """The real model's folder, which is made once per machine."""
        command = [str(PYTHON), "-m", "test.support.tiny_models", "smollm2"]
        log = self._folder / "weights.log"
        with log.open("w") as said, subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said) as child:
            self._follow(child, log)
        lines = log.read_text().splitlines()
        if child.returncode != 0 or not lines:
            raise NotPrepared("the model could not be prepared:\n" + "\n".join(lines[-5:]))
        return Path(lines[-1])

    def _follow(self, child: subprocess.Popen[bytes], log: Path) -> None:
        """Repeats the lines about what is done, and how long the last has taken so far."""
        told, since, spoke = 0, time.monotonic(), time.monotonic()

        def has_ended() -> bool:
            nonlocal told, since, spoke
            lines = [line for line in log.read_text().splitlines() if line.startswith(("downloading", "converting"))]
            for line in lines[told:]:
                self._say(line)
                told, since, spoke = told + 1, time.monotonic(), time.monotonic()
            if told and time.monotonic() - spoke > REASSURE_S:
                spoke = time.monotonic()
                self._say(f"{lines[-1].split()[0]}, {spoke - since:.0f} s so far")
            return child.poll() is not None

        def late(_: bool) -> NotPrepared:
            child.kill()
            return NotPrepared(f"the model was not prepared within {PREPARE_TIMEOUT_S:.0f} s; see {log}")

        until(has_ended, PREPARE_TIMEOUT_S, late=late, step_s=STEP_S)

    def _push_data(self, crane: Path, lesson: str) -> str:
        """An image with `/data/lesson.jsonl` and nothing else."""
        layer, image = self._made("data") / "layer.tar", f"{self.registry}/lesson:1"
        entry, content = tarfile.TarInfo("data/lesson.jsonl"), lesson.encode()
        entry.size, entry.mode = len(content), 0o644
        with tarfile.open(layer, "w") as archive:
            archive.addfile(entry, io.BytesIO(content))
        run(crane, "append", "--insecure", "--new_layer", layer, "--new_tag", image)
        return image

    def _made(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write_programs(self, crane: Path) -> None:
        programs = self._made("programs-of-the-image")
        for source in ("serve/inference_api.py", "tune/fine_tuning.py"):
            shutil.copy(ROOT / "model_runtime" / source, programs)
        runtime = {
            "image": RUNTIME_IMAGE,
            "path": [str(PYTHON.parent)],
            "working_folder": str(programs),
            "environment": {
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "OMP_NUM_THREADS": "1",
                "MODEL_RUNTIME_HOST": "$(POD_IP)",
                "MODEL_RUNTIME_ADAPTERS_FOLDER": "/mnt/adapter",
                "MODEL_RUNTIME_WEIGHTS_FOLDER": "/mnt/weights",
                "YAML_FILE_PATH": "/mnt/config/training_config.yaml",
                "DATASET_FOLDER_PATH": "/mnt/data",
            },
        }
        pusher = {"image": DEFAULT_CRANE_IMAGE, "path": [], "entrypoint": [str(crane)]}
        self.programs.write_text(json.dumps([runtime, pusher], indent=2))
