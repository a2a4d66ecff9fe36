"""`python -m hack.release`: everything that a release publishes, in `dist/`, each part checked before it counts.

Wheel and sdist, the kubectl plugin as one file, the chart as a package, install.yaml, an SBOM of the image's locked dependencies, and
SHA-256 sums of all. Runs with the tools of hack/release/requirements.txt; `make release` brings them. It signs and uploads nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
NAME = "kaito-operator"


class ReleaseFailed(Exception):
    """A part could not be built or is not what it should be; the text says which."""


def main() -> int:
    """Build, check, list; 1 with a sentence when something is wrong."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    try:
        version = build_distributions()
        build_chart(version)
        shutil.copy(ROOT / "manifests/install.yaml", DIST / f"install-{version}.yaml")
        build_sbom(version)
        check_wheel(version)
        build_plugin(version)
        write_sums()
    except ReleaseFailed as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    for path in sorted(DIST.iterdir()):
        print(f"{path.stat().st_size:>9}  dist/{path.name}")
    return 0


def build_distributions() -> str:
    """Wheel and sdist; the version that they carry."""
    _run("-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT))
    _run("-m", "twine", "check", "--strict", *map(str, DIST.iterdir()))
    (wheel,) = DIST.glob("*.whl")
    return wheel.name.split("-")[1]


def build_chart(version: str) -> None:
    """The chart as `helm package` would leave it: one folder named like the chart."""
    chart = (ROOT / "manifests/chart/Chart.yaml").read_text("utf-8")
    if f"version: {version}\n" not in chart:
        raise ReleaseFailed(f"manifests/chart/Chart.yaml is not of version {version}; run `make manifests`")
    with tarfile.open(DIST / f"{NAME}-chart-{version}.tgz", "w:gz") as archive:
        archive.add(ROOT / "manifests/chart", arcname=NAME)


def build_sbom(version: str) -> None:
    """CycloneDX, of what the image holds; every component has a version and a hash."""
    target = DIST / f"{NAME}-{version}.cdx.json"
    locked = ROOT / "hack/image/requirements.txt"
    _run("-m", "cyclonedx_py", "requirements", "--output-reproducible", "--output-file", str(target), str(locked))
    components = json.loads(target.read_text("utf-8"))["components"]
    nameless = [c["name"] for c in components if not c.get("version") or not c.get("externalReferences")]
    if not components or nameless:
        raise ReleaseFailed(f"the SBOM has {len(components)} components, without version or hash: {nameless}")


def check_wheel(version: str) -> None:
    """Installed alone in a fresh environment, with its dependencies, both programs tell their version."""
    (wheel,) = DIST.glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        _run(
            "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel), python=f"{folder}/bin/python"
        )
        for program in ("kaito-controller", "gpu-provisioner"):
            said = subprocess.run([f"{folder}/bin/{program}", "--version"], capture_output=True, text=True, check=False)
            if said.stdout != f"{program} {version}\n":
                raise ReleaseFailed(
                    f"{program} of the wheel says {said.stdout}{said.stderr} instead of its version {version}"
                )


PLUGIN_DATA = "config/samples/inference-phi-3-mini.yaml"


def build_plugin(version: str) -> None:
    """`kubectl kaito` as one file for this platform and Python, without what only the provisioner needs; run once from an empty home."""
    (wheel,) = DIST.glob("*.whl")
    target = (
        DIST / f"kubectl-kaito-{version}-{sysconfig.get_platform()}-py{sys.version_info[0]}{sys.version_info[1]}.pyz"
    )
    with tempfile.TemporaryDirectory() as folder:
        site = f"{folder}/site"
        _run("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", site, f"{wheel}[cli]")
        for only_provisioners in Path(site).glob("azure*"):
            shutil.rmtree(only_provisioners)
        _run("-m", "shiv", "--site-packages", site, "--console-script", "kubectl-kaito", "--python", "/usr/bin/env python3",
             "--reproducible", "--compressed", "--output-file", str(target))  # fmt: skip
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "SHIV_ROOT": f"{folder}/shiv"}
        for arguments, expected in (
            (["--version"], version),
            (["plan", "-f", str(ROOT / PLUGIN_DATA)], "INSTANCE TYPE"),
        ):
            said = subprocess.run(
                [sys.executable, str(target), *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
            )  # fmt: skip
            if said.returncode != 0 or expected not in said.stdout:
                raise ReleaseFailed(f"{target.name} {arguments[0]} says {said.stdout}{said.stderr}, without {expected}")


def write_sums() -> None:
    """`sha256sum --check SHA256SUMS` in that folder verifies a download."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(DIST.iterdir())]
    (DIST / "SHA256SUMS").write_text("".join(lines), "utf-8")


def _run(*arguments: str, python: str = sys.executable) -> None:
    reply = subprocess.run([python, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if reply.returncode != 0:
        raise ReleaseFailed(f"{' '.join(arguments[:3])} failed:\n{reply.stdout}{reply.stderr}")


if __name__ == "__main__":
    raise SystemExit(main())
