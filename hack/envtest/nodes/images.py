"""The images that a cluster of real nodes needs, built by buildah and kept as OCI layouts in the cache, by what they are made of.

Public registries cannot be counted on, so bases are put together from Debian's packages (mmdebstrap: packages are extracted, nothing is
configured): Debian 12's Python 3.11 is also what the distroless base holds. The operators' image is built by the project's own Dockerfile.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hack.envtest import binaries
from hack.envtest.nodes import leftovers

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
UNWANTED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/lintian/*")
PACKAGES = {
    "build-base": [
        "python3-venv",
        "python3-pip-whl",
        "python3-setuptools-whl",
        "dash",
        "coreutils",
        "sed",
        "findutils",
    ],
    "runtime-base": ["python3-minimal", "libpython3-stdlib", "tzdata", "netbase"],
    "model-base": ["python3-minimal", "libpython3-stdlib", "libstdc++6", "dash", "tzdata", "netbase"],
    "curl-base": ["curl"],
    "prometheus-base": ["prometheus"],
}
CERTIFICATES = "/etc/ssl/certs"
"""Bound into builds: whatever this machine trusts, a proxy's own authority perhaps, pip must trust too."""
OPERATOR_FILES = (
    "Dockerfile",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "hack/image",
    "controller_runtime",
    "gpu_provisioner",
    "kaito_controller",
)
KEPT = 4
"""Of each image, counted by what it was made of."""
UPGRADE = "next"
"""The label of the image that a rolling upgrade goes to."""
FROM_SCRATCH = "FROM scratch\nADD base.tar /\n"


class ImageFailed(RuntimeError):
    """An image could not be built; the message ends with what the builder said."""


@dataclass(frozen=True)
class Recipe:
    """How an image is made: a Containerfile and its context (name in the context → file or folder), and other images as its arguments.

    `bound` gives what the build sees besides (folder in the image → folder here); what is in there must follow from the context, since
    the key does not look at it. `kept`: how many of this name stay in the cache.
    """

    name: str
    containerfile: str
    context: Mapping[str, Path] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    bound: Callable[[], Mapping[str, Path]] = dict
    kept: int = KEPT

    def key(self) -> str:
        """Changes with whatever the image is made of."""
        digest = hashlib.sha256(repr((self.name, self.containerfile, sorted(self.arguments.items()))).encode())
        for name, path in sorted(self.context.items()):
            for file in _files(path):
                digest.update(f"{name}/{file.relative_to(path)}".encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()[:16]


class Images:
    """The cache; `layout` gives an OCI layout folder, made first where it is missing."""

    def __init__(self) -> None:
        self.folder = binaries.cache_folder() / "images"
        self.folder.mkdir(parents=True, exist_ok=True)

    def layout(self, recipe: Recipe) -> Path:
        """The image as an OCI layout."""
        target = self.folder / f"{recipe.name}-{recipe.key()}"
        if not (target / "index.json").exists():
            self._build(recipe, target)
        return target

    def base_tar(self, name: str) -> Path:
        """The extracted packages of a base."""
        key = hashlib.sha256(" ".join([*PACKAGES[name], *UNWANTED]).encode()).hexdigest()[:16]
        target = self.folder / f"{name}-{key}.tar"
        if not target.exists():
            print(f"making {name} from Debian's packages (once per machine) ...", flush=True)
            partial = target.with_suffix(".partial.tar")
            options = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNWANTED]
            included = f"--include={','.join(PACKAGES[name])}"
            _run(["mmdebstrap", "--variant=extract", *options, included, "bookworm", str(partial)], f"the base {name}")
            partial.rename(target)
        return target

    def base(self, name: str) -> Recipe:
        """A base as an image."""
        return Recipe(name, FROM_SCRATCH, {"base.tar": self.base_tar(name)})

    def imported(self, recipe: Recipe) -> str:
        """The name by which another image's Containerfile can begin with this one."""
        name = f"localhost/{recipe.name}:{recipe.key()}"
        if not self._buildah("the list of images", "images", "--quiet", "--filter", f"reference={name}").strip():
            self._commit(recipe, name)
            self._forget_older_imports(recipe, name)
        return name

    def _build(self, recipe: Recipe, target: Path) -> None:
        name = self.imported(recipe)
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        self._buildah(f"the image {recipe.name}", "push", "--quiet", name, f"oci:{partial}:{recipe.name}")
        partial.rename(target)
        self._forget_older_layouts(recipe)

    def _forget_older_layouts(self, recipe: Recipe) -> None:
        """The operators' image is another one with every change of the product; only the newest few are kept."""
        prefix = f"{recipe.name}-"
        found = [path for path in self.folder.glob(f"{prefix}*") if path.name.removeprefix(prefix).isalnum()]
        for layout in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[recipe.kept :]:
            shutil.rmtree(layout)

    def _forget_older_imports(self, recipe: Recipe, new: str) -> None:
        """The same in buildah's storage, where there are also images that others begin with, of gigabytes."""
        images = json.loads(self._buildah("the list of images", "images", "--json") or "[]")
        found = [(image["created"], name) for image in images for name in image.get("names") or ()]
        older = [entry for entry in found if entry[1] != new and entry[1].startswith(f"localhost/{recipe.name}:")]
        for _, name in sorted(older, reverse=True)[recipe.kept - 1 :]:
            with contextlib.suppress(ImageFailed):  # another process may have been quicker
                self._buildah("the removal", "rmi", name)

    def _commit(self, recipe: Recipe, name: str) -> None:
        print(f"building the image {recipe.name} ...", flush=True)
        with leftovers.temporary_folder() as folder:
            for inside, path in recipe.context.items():
                _copy(path, folder / inside)
            (folder / "Containerfile").write_text(recipe.containerfile)
            arguments = [f"--build-arg={key}={value}" for key, value in recipe.arguments.items()]
            bound = {CERTIFICATES: Path(CERTIFICATES), **recipe.bound()}
            volumes = [f"--volume={here}:{inside}:ro" for inside, here in bound.items()]
            bud = ["bud", "--quiet", "--isolation=chroot", "--format=oci", "--layers=false", *volumes, *arguments]
            bud += [f"--env={name}={os.environ[name]}" for name in ("PIP_INDEX_URL", "PIP_CERT") if name in os.environ]
            self._buildah(f"the image {name}", *bud, f"--file={folder}/Containerfile", f"--tag={name}", str(folder))

    def _buildah(self, what: str, *arguments: str) -> str:
        """buildah's output.

        When it is interrupted, it leaves mounts and the processes of a step, unless they are in namespaces of their own, which end with
        this process; and what it keeps for a while in /var/tmp, unless that is a folder of this process.
        """
        alone = ("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        storage = (f"--root={self.folder / 'buildah'}", f"--runroot={self.folder / 'buildah-run'}")
        with leftovers.temporary_folder() as scratch:
            command = [*alone, "buildah", "--storage-driver=overlay", *storage, *arguments]
            return _run(command, what, {**os.environ, "TMPDIR": str(scratch)})


def operator(images: Images) -> Recipe:
    """The operators' image by the project's Dockerfile."""
    arguments = {
        "BUILD_BASE": images.imported(images.base("build-base")),
        "RUNTIME_BASE": images.imported(images.base("runtime-base")),
    }
    text = (ROOT / "Dockerfile").read_text()
    return Recipe("kaito-operator", text, {name: ROOT / name for name in OPERATOR_FILES}, arguments)


def relabelled(images: Images, recipe: Recipe, label: str) -> Recipe:
    """Another image with the same content, to upgrade to."""
    return Recipe(
        f"{recipe.name}-{label}",
        f"ARG BASE\nFROM ${{BASE}}\nLABEL upgrade={label}\n",
        {},
        {"BASE": images.imported(recipe)},
    )


def _files(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    else:
        shutil.copy2(source, target)


def _run(command: list[str], what: str, environment: Mapping[str, str] | None = None) -> str:
    reply = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if reply.returncode:
        raise ImageFailed(f"{what} could not be built:\n{(reply.stderr or reply.stdout)[-3000:]}")
    return reply.stdout
