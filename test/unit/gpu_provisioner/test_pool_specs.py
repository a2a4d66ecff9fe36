"""What a Machine asks for becomes what is ordered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gpu_provisioner.api import labels
from gpu_provisioner.cloud.port import PoolDefaults
from gpu_provisioner.machine.node_sync import synced
from gpu_provisioner.machine.pool_specs import Candidates, candidates_for
from test.unit.gpu_provisioner.builders import build_machine, build_node


def requirement(key: str, *values: str, operator: str = "In") -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


def candidates(*requirements: dict[str, Any], defaults: PoolDefaults | None = None, **fields: Any) -> Candidates:
    spec = {"requirements": list(requirements), **fields.pop("spec", {})}
    return candidates_for(build_machine(spec=spec, **fields), defaults or PoolDefaults())


TYPE = requirement(labels.INSTANCE_TYPE, "Standard_NC12s_v3")


def test_each_instance_type_gives_a_candidate_in_the_order_given() -> None:
    found = candidates(requirement(labels.INSTANCE_TYPE, "Standard_ND96", "Standard_NC6", "Standard_D4"))
    assert [spec.instance_type for spec in found.specs] == ["Standard_ND96", "Standard_NC6", "Standard_D4"]
    assert [spec.node_labels[labels.MACHINE_TYPE] for spec in found.specs] == ["gpu", "gpu", "cpu"]


def test_several_entries_are_intersected_and_the_first_one_orders() -> None:
    found = candidates(
        requirement(labels.INSTANCE_TYPE, "b", "a", "c"), requirement(labels.INSTANCE_TYPE_BETA, "a", "b")
    )
    assert [spec.instance_type for spec in found.specs] == ["b", "a"]


@pytest.mark.parametrize("operator", ["NotIn", "Exists", "Gt"])
def test_an_operator_that_does_not_choose_is_a_problem_and_not_a_choice(operator: str) -> None:
    found = candidates(requirement(labels.INSTANCE_TYPE, "Standard_NC6", operator=operator))
    assert found.specs == ()
    assert operator in found.problems[0]


def test_the_mark_is_on_the_pool_twice_and_cannot_be_overwritten_by_machine_labels() -> None:
    found = candidates(TYPE, labels={labels.WORKSPACE: "w", labels.MACHINE_UID: "forged", labels.MACHINE_TYPE: "cpu"})
    spec = found.specs[0]
    assert spec.tags[labels.MACHINE_UID_TAG] == "uid-1"
    assert spec.node_labels[labels.MACHINE_UID] == "uid-1"
    assert spec.node_labels[labels.MACHINE_TYPE] == "gpu"
    assert spec.node_labels[labels.PROVISIONER_NAME] == "default"


@pytest.mark.parametrize("pool_labels", [{}, {labels.MACHINE_UID: "uid-1", labels.MACHINE_TYPE: "gpu"}])
def test_no_label_of_a_machine_takes_the_place_of_a_mark_on_its_node(pool_labels: dict[str, str]) -> None:
    machine = build_machine(labels={**OWN, labels.MACHINE_UID: "forged", labels.MACHINE_TYPE: "cpu"})

    want = synced(machine, replace(build_node(is_ready=False), labels=pool_labels))

    assert {key: value for key, value in want.labels.items() if key in labels.POOL_MARKS} == pool_labels


LIES = {
    "kubernetes.io/os": "windows",
    "kubernetes.io/hostname": "other",
    "node.kubernetes.io/instance-type": "Standard_ND96",
    "topology.kubernetes.io/zone": "mars-1",
    "karpenter.sh/capacity-type": "spot",
    "karpenter.sh/initialized": "true",
    "karpenter.sh/registered": "true",
    "kubernetes.azure.com/agentpool": "other",
    "agentpool": "other",
    "node-role.kubernetes.io/control-plane": "",
}
OWN = {labels.WORKSPACE: "w", "apps": "llama", "app.kubernetes.io/name": "llama", "example.com/kubernetes.io": "x"}


def test_no_label_of_a_machine_says_what_its_node_is() -> None:
    (spec,) = candidates(TYPE, labels={**OWN, **LIES}).specs
    assert not LIES.keys() & spec.node_labels.keys()
    assert OWN.items() <= spec.node_labels.items()
    machine = build_machine(labels={**OWN, **LIES})
    told = {"kubernetes.io/os": "linux", "agentpool": machine.name}
    want = synced(machine, replace(build_node(is_ready=False), labels=told))
    assert {key: want.labels.get(key) for key in LIES} == {**dict.fromkeys(LIES), **told, labels.REGISTERED: "true"}
    assert OWN.items() <= want.labels.items()


def test_taints_are_written_as_aks_wants_them() -> None:
    taints = [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}, {"key": "bare", "effect": "NoExecute"}]
    assert candidates(TYPE, spec={"taints": taints}).specs[0].node_taints == ("sku=gpu:NoSchedule", "bare=:NoExecute")


def test_zone_and_capacity_requirements_go_before_the_defaults() -> None:
    defaults = PoolDefaults(capacity_type="on-demand", zones=("3",), tags={"team": "ml"})
    found = candidates(
        TYPE, requirement(labels.ZONE, "eastus-1", "2"), requirement(labels.CAPACITY_TYPE, "spot"), defaults=defaults
    )
    assert found.specs[0].zones == ("1", "2")
    assert found.specs[0].capacity_type == "spot"
    assert found.specs[0].tags["team"] == "ml"
    assert candidates(TYPE, defaults=defaults).specs[0].zones == ("3",)


@pytest.mark.parametrize(
    ("annotation", "value", "field", "wanted"),
    [
        (labels.NODE_IMAGE_FAMILY, "azurelinux", "image_family", "AzureLinux"),
        (labels.NODE_IMAGE_FAMILY, "Ubuntu", "image_family", "Ubuntu"),
        (labels.GPU_DRIVER, "none", "gpu_driver", "None"),
        (labels.GPU_INSTANCE_PROFILE, "mig3g", "gpu_instance_profile", "MIG3g"),
    ],
)
def test_annotations_choose_in_any_case(annotation: str, value: str, field: str, wanted: str) -> None:
    assert getattr(candidates(TYPE, annotations={annotation: value}).specs[0], field) == wanted


@pytest.mark.parametrize("name", ["", "UPPER", "1digit", "with-dash", "thirteenchars"])
def test_a_name_that_cannot_name_a_pool_is_a_problem(name: str) -> None:
    assert "agent pool" in candidates(TYPE, name=name).problems[0]


def test_garbage_in_the_spec_is_named_and_nothing_is_ordered() -> None:
    found = candidates_for(build_machine(spec={"requirements": "none", "resources": []}), PoolDefaults())
    assert found.specs == ()
    assert any("spec.requirements" in problem for problem in found.problems)
