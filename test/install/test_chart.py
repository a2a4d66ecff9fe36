"""The Helm chart without Helm: one template for each object, every knob in the values, every value used, nothing left over."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
import yaml

from controller_runtime.version import VERSION
from hack.render import chart
from test.install import shipped

CHART = shipped.MANIFESTS / "chart"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = {path.name: path.read_text() for path in sorted((CHART / "templates").iterdir())}


def paths(values: object, prefix: str = "") -> set[str]:
    """`a.b.c` of every leaf; a map that users fill is a leaf."""
    if isinstance(values, dict) and values and not prefix.endswith(("nodeSelector", "affinity", "resources")):
        return set().union(*(paths(nested, f"{prefix}.{key}") for key, nested in values.items()))
    return {prefix}


def used() -> set[str]:
    """Every `.Values…` of the templates."""
    return {name for text in TEMPLATES.values() for name in re.findall(r"\.Values((?:\.\w+)+)", text)}


def test_chart_has_a_template_for_each_object_but_the_namespace() -> None:
    bases = ("default", *shipped.OPTIONS, *shipped.VARIANTS)
    objects = [d for base in bases for d in shipped.base(base) if d["kind"] != "Namespace"]
    named = {f"{d['kind']}-{d['metadata']['name']}".lower().replace(":", "-") + ".yaml" for d in objects}

    assert set(TEMPLATES) == named | {"NOTES.txt"}


def test_every_value_is_used_and_every_used_value_exists() -> None:
    assert used() == paths(VALUES)


def test_no_token_of_the_generator_and_no_fixed_namespace_is_left_in_a_template() -> None:
    left = [name for name, text in TEMPLATES.items() if re.search(r"HELM-|INDENT|kaito-system", text)]

    assert not left


def test_braces_of_alerts_and_dashboards_are_not_read_by_helm() -> None:
    text = chart.template({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"legend": "{{ reason }}"}})

    assert """{{ "{{" }} reason }}""" in text


def test_default_values_fit_the_schema() -> None:
    jsonschema.validate(VALUES, SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kaitoControler": {}},
        {"kaitoController": {"replica": 3}},
        {"kaitoController": {"replicas": "three"}},
        {"kaitoController": {"settings": {"log-levl": "debug"}}},
        {"kaitoController": {"settings": {"metrics-bind-address": ":9090"}}},
        {"kaitoController": {"settings": {"metrics-auth": "kubernetes"}}},
        {"metrics": {"auth": "basic"}},
        {"gpuProvisioner": {"azure": {"subscription": "x"}}},
        {"networkPolicy": {"enabled": "yes"}},
    ],
)
def test_misspelt_and_mistyped_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


@pytest.mark.parametrize(
    ("component", "name"), [("kaitoController", "kaito-controller"), ("gpuProvisioner", "gpu-provisioner")]
)
def test_default_values_are_what_the_kustomize_base_says(component: str, name: str) -> None:
    deployment, values = shipped.deployments()[name], VALUES[component]
    pod = deployment["spec"]["template"]["spec"]

    assert values["replicas"] == deployment["spec"]["replicas"]
    assert values["resources"] == shipped.container(deployment)["resources"]
    for key in ("priorityClassName", "nodeSelector", "tolerations", "affinity"):
        assert values[key] == pod[key]


def test_versions_of_chart_image_and_package_agree() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    images = {shipped.container(deployment)["image"] for deployment in shipped.deployments().values()}

    assert {described["version"], described["appVersion"]} == {VERSION}
    assert images == {f"{VALUES['image']['repository']}:{VERSION}"}
