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
HOOK = Path(sys.executable).with_name("detect-secrets-hook")

# Put together here, so that this file holds none of them.
PLANTED = {
    "AWS Access Key": 'key = "AKIA' + 'QWERTY3VBN7MASDF"',
    "Azure Storage Account access key": "AccountKey=" + "lJzRc1YdHaAA2KCNJJ1tkYwF" * 3 + "c2rA8sOePz6Nwg==",
    "GitHub Token": 'login = "ghp_' + 'aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zAbCdE"',
    "Private Key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Secret Keyword": "password" + ' = "correct-horse-9"',
}


def found(folder: Path, name: str, line: str) -> str:
    """What the hook prints about that file of the tree once the line is in it; the status that makes the commit fail."""
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    source = ROOT / name
    place.write_text((source.read_text() if source.exists() else "") + f"\n{line}\n")
    baseline = folder / "baseline"
    shutil.copy(BASELINE, baseline)
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    done = subprocess.run(
        [HOOK, "--baseline", baseline.name, name], cwd=folder, capture_output=True, text=True, check=False
    )
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


def test_every_reviewed_finding_is_judged_and_still_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with transient_settings(SETTINGS):
        for name, reviewed in REVIEWED.items():
            present = {(secret.type, secret.secret_hash) for secret in scan_file(name)}
            for entry in reviewed:
                assert entry["is_secret"] is False, name
                assert (entry["type"], entry["hashed_secret"]) in present, f"{name}: a {entry['type']} is not there"
