"""A secret that somebody commits is found, wherever it stands; what was reviewed is in `.secrets.baseline` and really is in the tree."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

from hack.render.kustomize import ROOT

BASELINE = ROOT / ".secrets.baseline"
SETTINGS = json.loads(BASELINE.read_text())
REVIEWED = SETTINGS["results"]
CHECK = ROOT / "hack" / "checks" / "planted_secrets.sh"
TOOLS = Path(sys.executable).parent

# Put together here, so that this file holds none of them.
PLANTED = {
    "AWS Access Key": 'key = "AKIA' + 'QWERTY3VBN7MASDF"',
    "Azure Storage Account access key": "AccountKey=" + "lJzRc1YdHaAA2KCNJJ1tkYwF" * 3 + "c2rA8sOePz6Nwg==",
    "GitHub Token": 'login = "ghp_' + 'aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zAbCdE"',
    "Private Key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Secret Keyword": "password" + ' = "correct-horse-9"',
}


def checked(folder: Path, name: str, text: str) -> subprocess.CompletedProcess[str]:
    """The check of that file of the tree, as `make checks` and pre-commit run it, with this text in it."""
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    shutil.copy(BASELINE, folder)
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return subprocess.run([CHECK, str(TOOLS), name], cwd=folder, capture_output=True, text=True, check=False)


def found(folder: Path, name: str, line: str) -> str:
    """What the check prints once the line is in that file; the status that makes the commit fail."""
    source = ROOT / name
    done = checked(folder, name, (source.read_text() if source.exists() else "") + f"\n{line}\n")
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found(tmp_path: Path, kind: str) -> None:
    told = found(tmp_path, "kaito_controller/planted.py", PLANTED[kind])

    assert kind in told
    assert "kaito_controller/planted.py:2" in told


def test_a_file_with_reviewed_findings_is_no_hiding_place(tmp_path: Path) -> None:
    name = "hack/envtest/nodes/registry.py"
    assert REVIEWED[name]

    told = found(tmp_path, name, PLANTED["Secret Keyword"])

    assert told.count("Location:") == 1
    assert "Secret Keyword" in told


def test_reviewed_findings_that_moved_to_other_lines_let_a_commit_pass_and_leave_the_list_alone(tmp_path: Path) -> None:
    name = "hack/envtest/nodes/registry.py"

    done = checked(tmp_path, name, "\n\n\n" + (ROOT / name).read_text())

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / BASELINE.name).read_text() == BASELINE.read_text()


def test_every_reviewed_finding_is_judged_and_still_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with transient_settings(SETTINGS):
        for name, reviewed in REVIEWED.items():
            present = {(secret.type, secret.secret_hash) for secret in scan_file(name)}
            for entry in reviewed:
                assert entry["is_secret"] is False, name
                assert (entry["type"], entry["hashed_secret"]) in present, f"{name}: a {entry['type']} is not there"
