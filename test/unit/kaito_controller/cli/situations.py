"""Workspaces and options that somebody plans, by name.

`python -m test.unit.kaito_controller.cli.situations` writes the golden answers anew; read the diff before committing it.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from hack.render.kustomize import ROOT
from kaito_controller.cli.__main__ import main

GOLDEN = Path(__file__).with_name("golden")
SAMPLES = ROOT / "config/samples"


@dataclass(frozen=True)
class Situation:
    """What is planned, with what options, and the exit code that it gives."""

    text: str
    options: tuple[str, ...] = ()
    code: int = 0


def workspace(preset: str, instance_type: str, count: int = 1) -> str:
    """A Workspace that serves a preset."""
    return yaml.safe_dump(
        {
            "apiVersion": "kaito.sh/v1alpha1",
            "kind": "Workspace",
            "metadata": {"name": "mine"},
            "resource": {
                "instanceType": instance_type,
                "count": count,
                "labelSelector": {"matchLabels": {"apps": "mine"}},
            },
            "inference": {"preset": {"name": preset}},
        }
    )


def sample(name: str) -> str:
    """One of the published quickstarts."""
    return (SAMPLES / f"{name}.yaml").read_text("utf-8")


A100 = "Standard_NC24ads_A100_v4"
SITUATIONS = {
    "quickstart-on-a-retired-type": Situation(sample("inference-phi-3-mini")),
    "quickstart-with-two-gpus": Situation(sample("inference-falcon-7b")),
    "adapter-with-a-placeholder": Situation(sample("inference-phi-3-mini-adapter")),
    "tuning": Situation(sample("tuning-phi-3-qlora"), ("--max-price", "4")),
    "tuning-with-so-many-tokens": Situation(
        sample("tuning-phi-3-qlora"), ("--tokens", "5000000", "--epochs", "3", "--max-price", "4")
    ),
    "hub-model": Situation(workspace("Qwen/Qwen3-8B", A100)),
    "hub-model-all-types": Situation(workspace("Qwen/Qwen3-8B", A100), ("--all",)),
    "at-most-five-dollars": Situation(workspace("Qwen/Qwen3-8B", A100), ("--max-price", "5")),
    "asked-for-is-too-dear": Situation(workspace("Qwen/Qwen3-8B", "Standard_ND96isr_H100_v5"), ("--max-price", "5")),
    "another-region": Situation(workspace("Qwen/Qwen3-8B", A100), ("--region", "westeurope")),
    "one-gpu-model": Situation(workspace("llama-3.3-70b-instruct", "Standard_NC96ads_A100_v4"), ("--gpu", "a100")),
    "long-context": Situation(workspace("llama-3.1-8b-instruct", A100), ("--context", "131072")),
    "asked-for-is-too-small": Situation(workspace("Qwen/Qwen3-8B", "Standard_NC4as_T4_v3"), code=1),
    "fits-nowhere": Situation(workspace("deepseek-r1-0528", "p5.48xlarge"), code=1),
    "would-take-two-nodes": Situation(workspace("deepseek-r1-0528", "Standard_ND96isr_H100_v5", 2), code=1),
    "copies-on-two-nodes": Situation(workspace("qwen3-4b", "Standard_NV36ads_A10_v5", 2), ("--max-price", "8")),
    "not-an-nvidia-gpu": Situation(workspace("qwen3-4b", "Standard_ND96isr_MI300X_v5"), ("--gpu", "T4"), code=1),
    "type-that-nobody-knows": Situation(workspace("qwen3-4b", "Standard_NX8_v9"), ("--max-price", "4")),
    "several-types-in-order": Situation(sample("inference-instance-types"), ("--max-price", "7")),
    "other-cloud": Situation(workspace("qwen3-4b", "g6.xlarge"), ("--gpu", "L4")),
}


def answer(situation: Situation, path: Path, *more: str) -> tuple[int, str]:
    """Exit code and standard output of `plan`."""
    path.write_text(situation.text, "utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(["plan", "-f", str(path), *situation.options, *more])
    return code, out.getvalue()


if __name__ == "__main__":
    import tempfile

    os.environ["COLUMNS"] = "80"
    with tempfile.TemporaryDirectory() as folder:
        for name, situation in SITUATIONS.items():
            code, text = answer(situation, Path(folder) / "workspace.yaml")
            (GOLDEN / f"{name}.txt").write_text(text, "utf-8")
            print(name, code, "" if code == situation.code else "UNEXPECTED", file=sys.stderr)
