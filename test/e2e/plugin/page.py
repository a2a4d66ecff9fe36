"""The commands of `docs/plugin.md` with the output that it shows.

`python -m test.e2e.plugin.page KUBECONFIG`, with the kubeconfig of a fresh `make up`, writes the outputs anew; read the diff.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from hack.render.kustomize import ROOT, kubectl

PAGE = ROOT / "docs/plugin.md"
NOTE = "<!-- no-test: test/e2e/plugin/test_page.py runs it, and compares what it prints -->"
SHOWN = re.compile(rf"{NOTE}\n```sh no-test\n([^`]+)\n```\n\n```\n(.*?)\n```", re.S)
_VARYING = (
    (re.compile(r"\bws[0-9a-f]{9}\b"), "MACHINE"),
    (re.compile(r"aks-MACHINE-\d+-vmss0+"), "NODE"),
    (re.compile(r"\b((?:workspace-phi-3-mini|broken)-)[a-z0-9]{6,10}-[a-z0-9]{5}\b"), r"\1POD"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\(\S+_[0-9a-f-]{36},"), "(HOLDER,"),
    (re.compile(r"\b(?:\d+[dhms]){1,2}\b"), "AGE"),
    (re.compile(r"medians of (?:up to )?\d+ runs?"), "medians of RUNS"),
    (re.compile(r'Back-off pulling image "[^"]+": '), ""),
    (re.compile(r"ImagePullBackOff|ErrImagePull"), "PULL"),
)


def run(command: str, kubeconfig: Path) -> str:
    """What a command prints through a pipe, as somebody types it."""
    environment = {
        "PATH": f"{Path(kubectl()).parent}:/usr/bin:/bin", "HOME": "/nonexistent", "KUBECONFIG": str(kubeconfig), "COLUMNS": "80",
    }  # fmt: skip
    reply = subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert reply.returncode == 0, f"{command}\n{reply.stdout}{reply.stderr}"
    return reply.stdout.rstrip("\n")


def lasting(text: str) -> str:
    """Without what differs from run to run: names drawn, times, ages, and where lines are broken because of them."""
    text = " ".join(text.split())
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text


if __name__ == "__main__":

    def block(command: str) -> str:
        """With its present output."""
        return f"{NOTE}\n```sh no-test\n{command}\n```\n\n```\n{run(command, Path(sys.argv[1]))}\n```"

    written = SHOWN.sub(lambda found: block(found[1]), PAGE.read_text("utf-8"))
    PAGE.write_text(re.sub(r"^SHOW (.*)$", lambda found: block(found[1]), written, flags=re.M), "utf-8")
