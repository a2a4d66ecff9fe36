"""The changes that CONTRIBUTING shows as examples: they apply, touch as few files as it says, and the tree is whole afterwards."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).resolve().parents[2]
SECTION = re.compile(r"^### ([^\n]+)\n.*?^```diff\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = dict(SECTION.findall((ROOT / "CONTRIBUTING.md").read_text("utf-8")))
MOST_FILES = {"A reason": 4, "A field that ends as a container's flag": 5, "A preset": 1}
SHOWN = {
    "kaito_controller/README.md": "`PodEvicted`",
    "config/crd/kaito.sh_workspaces.yaml": "maxWaitingRequests:",
    "manifests/install.yaml": "maxWaitingRequests:",
    "config/admission/catalogue.yaml": "smollm2-135m,",
    "kaito_controller/catalog/README.md": "| smollm2-135m |",
}
"""Generated file → what the examples together bring into it."""
NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "node_modules")
_UNIT = "test/unit/kaito_controller"
TESTS = (
    f"{_UNIT}/workspace/test_readme.py",
    f"{_UNIT}/workspace/test_pod_diagnosis.py",
    f"{_UNIT}/workspace/test_status.py",
    f"{_UNIT}/workloads/test_readme.py",
    f"{_UNIT}/workloads/test_inference.py",
    f"{_UNIT}/catalog/test_readme.py",
    "test/unit/test_purity.py",
)


def files_of(diff: str) -> list[str]:
    return re.findall(r"^\+\+\+ b/(\S+)$", diff, re.MULTILINE)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with all three changes, and with what `make manifests` makes of them."""
    copy = tmp_path_factory.mktemp("tree") / "tree"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    for diff in EXAMPLES.values():
        applied = subprocess.run(
            ["git", "apply", "-"], cwd=copy, input=diff, capture_output=True, text=True, check=False
        )
        assert applied.returncode == 0, f"an example of CONTRIBUTING no longer applies; renew it: {applied.stderr}"
    for generator in ("hack.generate", "hack.render"):
        subprocess.run([sys.executable, "-m", generator], cwd=copy, capture_output=True, check=True)
    return copy


@pytest.mark.parametrize("title", MOST_FILES)
def test_an_example_touches_no_more_files_than_promised_and_none_that_is_generated(title: str) -> None:
    touched = files_of(EXAMPLES[title])

    assert 1 <= len(touched) <= MOST_FILES[title]
    assert not {*touched} & {*SHOWN}


@pytest.mark.parametrize("path", SHOWN)
def test_what_follows_from_an_example_is_written_by_make_manifests(path: str, changed: Path) -> None:
    assert SHOWN[path] in (changed / path).read_text("utf-8")
    assert SHOWN[path] not in (ROOT / path).read_text("utf-8")


def test_the_tests_of_the_tables_and_of_the_examples_pass_in_the_changed_tree(changed: Path) -> None:
    # Two modules of one name may be found by the folder: what is imported has to be the copy.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        *TESTS,
    ]
    reply = subprocess.run(command, cwd=changed, capture_output=True, text=True, check=False, timeout=280)

    assert reply.returncode == 0, reply.stdout[-3000:]
    assert "passed" in reply.stdout


def test_the_changed_tree_is_in_house_format(changed: Path) -> None:
    touched = [name for diff in EXAMPLES.values() for name in files_of(diff) if name.endswith(".py")]
    for command in (["check"], ["format", "--check"]):
        reply = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *touched], cwd=changed, capture_output=True, text=True, check=False
        )
        assert reply.returncode == 0, reply.stdout
