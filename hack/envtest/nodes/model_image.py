"""The model runtime's image for nodes without a GPU, by the project's own `model_runtime/Dockerfile`.

Programs, user, environment and entry point are those of the Dockerfile. Its packages are not: vLLM and CUDA's libraries (6 GB) are of no
use to a CPU, so that stage is replaced by the packages of `make test-model`, locked in the same folder, on a base of Debian's packages.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hack.envtest.nodes.images import HERE, ROOT, ImageFailed, Images, Recipe
from hack.envtest.nodes.requirements import Unfit

SMALL_MODEL = "smollm2"
"""A chat model that a CPU can answer with (135 million parameters)."""
ENVIRONMENT = ROOT / ".venv-model"
DEBIANS_PYTHON = "python3.11"
"""Its packages' compiled parts fit no other."""
ENVIRONMENT_SCRIPT = ROOT / "test" / "support" / "model_env.py"
LOCK = ROOT / "model_runtime" / "requirements" / "cpu-test.txt"
INSTALL = HERE / "runtime" / "install_packages.py"
PACKAGES_FILE = f"ARG BASE\nFROM ${{BASE}}\nADD {INSTALL.name} /tmp/\nRUN python3 /tmp/{INSTALL.name}\n"


def model_runtime(images: Images) -> Recipe:
    """How the image is made; its packages are put together first, once for each lock."""
    packages = Recipe(
        "model-packages",
        PACKAGES_FILE,
        {
            path.name: path
            for path in (INSTALL, LOCK, ENVIRONMENT_SCRIPT, ENVIRONMENT_SCRIPT.with_name("cuda_stubs.py"))
        },
        {"BASE": images.imported(images.base("model-base"))},
        bound=_environment,
        kept=1,
    )
    return Recipe(
        "kaito-model-runtime",
        (ROOT / "model_runtime" / "Dockerfile").read_text(),
        {"model_runtime": ROOT / "model_runtime"},
        {"DEPENDENCIES": images.imported(packages)},
        kept=1,
    )


def weights(name: str) -> Path:
    """The folder of one of `test.support.tiny_models`, made first where it is missing."""
    said = _run([str(_python()), "-m", "test.support.tiny_models", name], f"the weights of {name}")
    return Path(said.splitlines()[-1])


def _python() -> Path:
    _run([sys.executable, str(ENVIRONMENT_SCRIPT), str(ENVIRONMENT)], str(ENVIRONMENT))
    return ENVIRONMENT / "bin" / "python"


def _run(command: list[str], what: str) -> str:
    reply = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if reply.returncode:
        raise ImageFailed(f"{what} could not be made, see above:\n{reply.stdout[-2000:]}")
    return reply.stdout


def _environment() -> Mapping[str, Path]:
    _python()
    return {"/packages": packages_of(ENVIRONMENT)}


def packages_of(environment: Path) -> Path:
    """The folder of the environment's packages. Raises Unfit where another Python made it than the image has."""
    packages = environment / "lib" / DEBIANS_PYTHON / "site-packages"
    if not packages.is_dir():
        raise Unfit(
            f"the packages of the model runtime are not in {packages}, and Debian 12 has {DEBIANS_PYTHON}: "
            f"remove {environment.name} and .venv, then make test-cluster PYTHON={DEBIANS_PYTHON}"
        )
    return packages
