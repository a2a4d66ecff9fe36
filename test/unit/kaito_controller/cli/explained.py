"""What `explain` says of each record; `python -m test.unit.kaito_controller.cli.explained` writes the golden pages anew."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller_runtime.errors import Forbidden
from kaito_controller.api.reasons import PROVISIONER_SILENT
from kaito_controller.cli.__main__ import main
from kaito_controller.cli.cluster import refusal
from test.unit.kaito_controller.cli.record import RECORDED

GOLDEN = Path(__file__).with_name("explained")
Document = dict[str, Any]


def record(name: str) -> Document:
    """What was recorded."""
    found: Document = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
    return found


def _not_seen_yet() -> Document:
    found = record("node-is-being-made")
    return {**found, "workspace": {**found["workspace"], "status": {}}, "machines": []}


def _without_rights() -> Document:
    """A user who may read the namespace, and nothing that belongs to the cluster."""
    gaps = [refusal("machines and nodeclaims and nodes", Forbidden("no", code=403))]
    return {**record("container-crashes"), "machines": [], "nodes": [], "gaps": gaps}


def _by_karpenter() -> Document:
    """The same node, ordered with a NodeClaim."""
    found = record("node-is-being-made")
    (machine,) = found["machines"]
    since = machine["metadata"]["creationTimestamp"]
    said = "creating instance, insufficient capacity, all requested instance types were unavailable during launch"
    conditions = [
        {"type": "Launched", "status": "False", "reason": "LaunchFailed", "message": said, "lastTransitionTime": since}
    ]
    claim = {**machine, "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "status": {"conditions": conditions}}
    return {**found, "machines": [claim]}


def _nobody_provisions() -> Document:
    found = record("node-is-being-made")
    (machine,) = found["machines"]
    conditions = found["workspace"]["status"]["conditions"]
    told = f"Machine {machine['metadata']['name']} was ordered and no provisioner has touched it."
    silent = [{**c, "reason": PROVISIONER_SILENT.name, "message": told} for c in conditions]
    return {
        **found,
        "workspace": {**found["workspace"], "status": {"conditions": silent}},
        "machines": [{**machine, "status": {}}],
    }


def _weights_are_fetched() -> Document:
    return {**record("model-loads"), "progress": {"weights": {"done": 3e9, "whole": 15e9}}}


DERIVED: dict[str, Callable[[], Document]] = {
    "not-seen-yet": _not_seen_yet,
    "without-rights-to-nodes": _without_rights,
    "ordered-with-a-nodeclaim": _by_karpenter,
    "nobody-provisions": _nobody_provisions,
    "weights-are-fetched": _weights_are_fetched,
}
"""Situations that differ from a recorded one in what is written here."""
NAMES = sorted([*(path.stem for path in RECORDED.glob("*.json")), *DERIVED])


def answer(name: str, folder: Path, *more: str) -> tuple[int, str]:
    """Exit code and standard output of `explain` in one situation."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(DERIVED[name]() if name in DERIVED else record(name)), "utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(["explain", "--from", str(path), *more])
    return code, out.getvalue()


if __name__ == "__main__":
    os.environ["COLUMNS"] = "80"
    with tempfile.TemporaryDirectory() as place:
        for one in NAMES:
            (GOLDEN / f"{one}.txt").write_text(answer(one, Path(place))[1], "utf-8")
