"""Machines are read whatever is stored in them."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_provisioner.api.machine import Machine


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"metadata": {"name": "m"}, "spec": [], "status": "broken"},
        {"metadata": {"labels": "x", "annotations": 3, "finalizers": None, "generation": "1"}},
        {"spec": {"requirements": [{"key": "k"}], "taints": [None], "kubelet": 7}},
        {"spec": {"resources": {"requests": {"storage": {"a": 1}}}}},
        {"status": {"conditions": [{"type": "Ready"}], "capacity": []}},
    ],
)
def test_reading_never_fails(stored: dict[str, Any]) -> None:
    machine = Machine.from_object(stored)
    assert isinstance(machine.problems, tuple)


def test_one_bad_part_of_the_spec_costs_only_itself() -> None:
    spec = {"requirements": [{"key": "k", "operator": "In", "values": ["v"]}], "taints": "none"}
    machine = Machine.from_object({"spec": spec})
    assert machine.spec.requirements[0].values == ["v"]
    assert machine.spec.taints == []
    assert "spec.taints" in machine.problems[0]


def test_unknown_fields_and_a_newer_status_are_no_problem() -> None:
    machine = Machine.from_object({"spec": {"future": True}, "status": {"conditions": [], "future": 1}})
    assert machine.problems == ()
