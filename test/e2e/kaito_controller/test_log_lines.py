"""A person who has only `kubectl logs` can follow a Workspace's life; a Workspace that is well says nothing."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from kaito_controller.nodeapi import api_of
from test.e2e.kaito_controller.test_quickstarts import filled
from test.support.kaito_rig import Rig
from test.support.processes import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NAME = "workspace-phi-3-mini"


LINE = re.compile(r"^\S+ \[(?P<level>\w+)\s*\] (?P<event>.+?)\s{2,}(?P<pairs>.*)$")


def told(rig: Rig, workspace: str) -> list[dict[str, str]]:
    """The controller's own lines about one Workspace, oldest first."""
    found = [LINE.match(line) for line in rig.controller.output.splitlines()]
    lines = [{**match.groupdict(), **pairs(match["pairs"])} for match in found if match]
    return [line for line in lines if line.get("workspace") == workspace]


def pairs(text: str) -> dict[str, str]:
    """`key=value` pairs, values with blanks in quotes."""
    try:
        return dict(part.split("=", 1) for part in shlex.split(text) if "=" in part)
    except ValueError:  # A line of another kind, with a lone quote.
        return {}


def test_the_log_says_by_which_api_nodes_are_ordered_which_no_setting_names(rig: Rig) -> None:
    said = [LINE.match(line) for line in rig.controller.output.splitlines()]
    (chosen,) = [pairs(line["pairs"]) for line in said if line and line["event"] == "nodes are ordered by this API"]

    assert "node_api" not in " ".join(rig.settings).lower(), "auto"
    assert (chosen["node_api"], chosen["why"]) == (api_of({"kind": rig.orders.kind}).name, "only-one-installed")


def test_the_log_tells_a_life_from_the_order_to_the_end_and_nothing_while_all_is_well(
    rig: Rig, namespace: str, folder: Path
) -> None:
    key = f"{namespace}/{NAME}"
    rig.kubectl("apply", "-n", namespace, "-f", str(filled("inference-phi-3-mini.yaml", folder)))
    rig.wait_ready(NAME, namespace)

    def is_served() -> bool:
        return any(line.get("reason") == "InferenceServing" for line in told(rig, key))

    wait_until(is_served, 20, "the line about serving")
    lines = told(rig, key)
    actions = [(line["event"], line["object"].split("/")[0]) for line in lines if "took_s" in line]
    assert actions.index(("created", rig.orders.kind)) < actions.index(("created", "Deployment"))
    assert ("created", "Service") in actions
    assert all(line["level"] == "info" and float(line["took_s"]) >= 0 for line in lines if "took_s" in line)
    news = [
        (line["condition"], line["status"], line["reason"]) for line in lines if line["event"] == "condition changed"
    ]
    assert ("WorkspaceReady", "True", "InferenceServing") in news[-2:], "the other one is its alias"
    assert len(set(news)) == len(news), "each change is told once"
    assert all(line["message"] for line in lines if line["event"] == "condition changed")

    for number in range(3):  # Each is a reconcile that finds nothing to do.
        rig.kubectl("annotate", "workspace", NAME, "-n", namespace, f"example.com/look={number}", "--overwrite")
    other = rig.kubectl("get", "workspace", NAME, "-n", namespace, "-o", "jsonpath={.metadata.annotations}")
    assert '"example.com/look":"2"' in other
    rig.kubectl("delete", "workspace", NAME, "-n", namespace)

    def is_over() -> bool:
        return told(rig, key)[-1]["event"] == "finalizer removed"

    wait_until(is_over, 20, "the line about the end, which is written after the object has gone")
    rest = told(rig, key)[len(lines) :]
    assert {line["reason"] for line in rest if line["event"] == "condition changed"} <= {
        "DeletingMachines",
        "DeletingWorkloads",
    }
    assert ("deletion asked for", rig.orders.kind) in {
        (line["event"], line.get("object", "/").split("/")[0]) for line in rest
    }
    assert rest[-1]["event"] == "finalizer removed"
