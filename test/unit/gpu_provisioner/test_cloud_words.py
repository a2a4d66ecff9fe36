"""The provisioner's core names no cloud: words of one are found in its adapter's folder, and where that adapter is chosen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gpu_provisioner
from gpu_provisioner.api import reasons
from gpu_provisioner.cloud.azure.profile import PROFILE as AZURE

ROOT = Path(gpu_provisioner.__file__).parent
WORDS = re.compile(r"azure|\baks\b|agent.?pool|os_?sku|\bARM_|virtualMachineScaleSet|standard_n", re.IGNORECASE)
ADAPTER = ROOT / "cloud" / "azure"
CHOOSES = {ROOT / "cloud" / "chosen.py"}
KEYS_ON_NODES = (
    "kubernetes.azure.com/agentpool",
    '"agentpool"',
    r"karpenter\.(sh|azure\.com|k8s\.aws)",
    r"kubernetes\.azure\.com/",
    "agentpool|storageprofile",
)
"""Of the published contract: by these a Node is known, whoever reads it."""
CORE = sorted(p for p in ROOT.rglob("*.py") if ADAPTER not in p.parents and p not in CHOOSES)


def _without_keys(path: Path) -> str:
    text = path.read_text("utf-8")
    if path == ROOT / "api" / "labels.py":
        for key in KEYS_ON_NODES:
            assert key in text
            text = text.replace(key, "")
    return text


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_of_the_core_has_no_word_of_a_cloud(path: Path) -> None:
    found = [line.strip() for line in _without_keys(path).splitlines() if WORDS.search(line)]

    # "Standard_NC12s_v3" is how KAITO's own documents write an instance type, in an example of a message.
    assert [line for line in found if "write it like Standard_NC12s_v3" not in line] == []


def test_the_words_are_found_where_they_belong() -> None:
    assert all(WORDS.search(path.read_text("utf-8")) for path in (ADAPTER / "profile.py", *CHOOSES))


@pytest.mark.parametrize("entry", reasons.REASONS, ids=lambda entry: entry.reason)
def test_what_people_read_about_a_reason_is_filled_in(entry: reasons.ReasonEntry) -> None:
    assert not re.search(r"[{}]", AZURE.told(entry.cause) + AZURE.told(entry.cure))
