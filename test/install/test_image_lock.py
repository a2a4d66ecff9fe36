"""What the image is built from is pinned, and the pins are those of the package."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement

from hack.render.kustomize import ROOT
from test.install import dockerfile, shipped

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = (ROOT / "hack" / "image" / "requirements.txt").read_text()
BUILD = (ROOT / "hack" / "image" / "build-requirements.txt").read_text()


def pins(text: str) -> dict[str, str]:
    """Normal name → version."""
    return {
        name.lower().replace("_", "-"): version for name, version in re.findall(r"^([\w.-]+)==([^\s\\]+)", text, re.M)
    }


def test_every_dependency_of_the_package_is_locked_within_its_range() -> None:
    locked = pins(LOCKED)

    for text in PROJECT["project"]["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(locked[requirement.name.lower()]), (
            f"{text}; locked {locked[requirement.name]}"
        )


def test_every_locked_package_has_hashes() -> None:
    for text in (LOCKED, BUILD):
        for block in re.split(r"\n(?=[\w.-]+==)", text):
            if re.match(r"[\w.-]+==", block):
                assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]


def test_the_build_backend_is_the_locked_one() -> None:
    assert PROJECT["build-system"]["requires"] == [f"setuptools=={pins(BUILD)['setuptools']}"]


def test_images_are_pinned_by_digest_and_the_last_one_runs_as_nobody_special() -> None:
    bases = dockerfile.bases()
    assert len(bases) == 2
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", base) for base in bases)
    assert re.findall(r"^USER (\S+)", dockerfile.TEXT, re.M) == ["65532:65532"]


def test_the_image_starts_what_the_deployments_start() -> None:
    assert dockerfile.words(dockerfile.FINAL, "ENTRYPOINT") == [["python3", "-m"]]
    assert dockerfile.words(dockerfile.FINAL, "COPY") == [[dockerfile.APP, dockerfile.APP]]
    assert dockerfile.environment()["PYTHONPATH"] == dockerfile.APP
    for deployment in shipped.deployments().values():
        assert shipped.container(deployment)["command"][:2] == ["python3", "-m"]


def test_what_the_build_copies_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sources = {source for line in dockerfile.words(dockerfile.BUILD, "COPY") for source in line[:-1]}

    assert ignored[0] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == sources
