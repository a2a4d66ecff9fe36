"""The generated files follow the code, and have the shape that Kubernetes wants."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, Field

from controller_runtime.version import VERSION
from hack.generate.__main__ import ROOT, main, stale_files, wanted
from hack.generate.crds import machine_crd, workspace_crd
from hack.generate.policy import binding, policy
from hack.generate.structural import structural_schema

CRDS = {"workspaces": workspace_crd(), "machines": machine_crd()}
MAX_ANNOTATIONS_BYTES = 256 * 1024
"""Of an object (apimachinery's TotalAnnotationSizeLimitB). `kubectl apply` keeps the whole object in one, so this is met long before
the 1 MiB of a ConfigMap."""


def schema(crd: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return result


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}".lstrip("."))
    for key, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], path + suffix)


def columns(crd: dict[str, Any]) -> list[tuple[str, int]]:
    return [(c["name"].upper(), c.get("priority", 0)) for c in crd["spec"]["versions"][0]["additionalPrinterColumns"]]


def test_the_check_fails_and_names_the_file_when_the_tree_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in wanted():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    assert stale_files(tmp_path) == {}
    (tmp_path / "config/crd/kaito.sh_workspaces.yaml").write_text("{}", "utf-8")
    row = "| `--workers` |"
    page = tmp_path / "kaito_controller/README.md"
    page.write_text(page.read_text("utf-8").replace(row, "| `--workmen` |"), "utf-8")
    manager = tmp_path / "config/manager/kaito-controller.yaml"
    manager.write_text(manager.read_text("utf-8").replace(f"kaito-operator:{VERSION}", "kaito-operator:9.9.9"), "utf-8")
    assert sorted(stale_files(tmp_path)) == [
        "config/crd/kaito.sh_workspaces.yaml",
        "config/manager/kaito-controller.yaml",
        "kaito_controller/README.md",
    ]

    monkeypatch.setattr("hack.generate.__main__.stale_files", lambda: stale_files(tmp_path))
    assert main(["--check"]) == 1
    assert "config/crd/kaito.sh_workspaces.yaml is out of date" in capsys.readouterr().err


@pytest.mark.parametrize("crd", CRDS.values(), ids=CRDS.keys())
def test_a_schema_is_structural_documented_and_bounded(crd: dict[str, Any]) -> None:
    for path, node in nodes(schema(crd)):
        forbidden = {"$ref", "$defs", "title", "allOf", "oneOf", "const", "patternProperties", "propertyNames"} & set(
            node
        )
        assert not forbidden, (path, forbidden)
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        if path.rpartition(".")[2] not in ("metadata", "*") and not path.endswith("[]") and path:
            assert node.get("description") or path == "metadata", path


def test_every_text_list_and_map_of_a_workspace_is_bounded_so_that_rules_stay_cheap() -> None:
    for path, node in nodes(schema(CRDS["workspaces"])):
        if path in ("apiVersion", "kind") or path.startswith("status"):
            continue
        if node.get("type") == "string" and "enum" not in node:
            assert "maxLength" in node, path
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_every_rule_has_a_message_of_one_line_and_no_costly_conversion() -> None:
    rules = [rule for _, node in nodes(schema(CRDS["workspaces"])) for rule in node.get("x-kubernetes-validations", ())]

    assert len(rules) > 50
    for rule in rules:
        assert rule["message"]
        assert "\n" not in rule["message"]
        assert len(rule["message"]) < 500
        assert "string(" not in rule.get("messageExpression", "")


def test_columns_names_and_scope_are_the_published_ones() -> None:
    assert columns(CRDS["workspaces"]) == [
        *[("INSTANCE", 0), ("RESOURCEREADY", 0), ("INFERENCEREADY", 0), ("WORKSPACEREADY", 0), ("AGE", 0)],
        *[("ORDERED", 1), ("JOBSTARTED", 1), ("REASON", 1), ("NODES", 1), ("PROGRESS", 1)],
    ]
    assert columns(CRDS["machines"]) == [
        *[("TYPE", 0), ("ZONE", 0), ("NODE", 0), ("READY", 0), ("AGE", 0)],
        *[("CAPACITY", 1), ("PROVISIONER", 1), ("TEMPLATE", 1)],
    ]
    workspace, machine = CRDS["workspaces"]["spec"], CRDS["machines"]["spec"]
    assert (workspace["scope"], workspace["names"]["shortNames"], workspace["names"]["categories"]) == (
        "Namespaced",
        ["wk", "wks", "ws"],
        ["workspace"],
    )
    assert (machine["scope"], machine["names"]["categories"]) == ("Cluster", ["karpenter"])
    properties = schema(CRDS["workspaces"])["properties"]
    assert {"resource", "inference", "tuning", "status"} < set(properties)
    assert set(properties["spec"]["properties"]) == {"replicas"}, (
        "spec is no wrapper; it holds what the scale subresource can reach"
    )


def test_defaults_are_the_published_ones_and_that_of_the_scale() -> None:
    defaults = {path: node["default"] for path, node in nodes(schema(CRDS["workspaces"])) if "default" in node}

    assert defaults == {
        "resource.count": 1,
        "resource.instanceType": "Standard_NC12s_v3",
        "inference.preset.accessMode": "public",
        "tuning.preset.accessMode": "public",
        "inference.adapters[].strength": "1.0",
        "spec": {"replicas": 1},
        "spec.replicas": 1,
    }


def test_quantities_of_a_machine_are_int_or_string() -> None:
    requests = dict(nodes(schema(CRDS["machines"])))["spec.resources.requests.*"]

    assert requests["x-kubernetes-int-or-string"] is True
    assert requests["anyOf"] == [{"type": "integer"}, {"type": "string"}]


def test_the_policy_leaves_status_and_deletion_alone_and_steps_aside_without_its_parameter() -> None:
    rules = policy()["spec"]["matchConstraints"]["resourceRules"]

    assert rules[0]["resources"] == ["workspaces"]
    assert "!has(object.metadata.deletionTimestamp)" in [c["expression"] for c in policy()["spec"]["matchConditions"]]
    assert binding()["spec"]["paramRef"]["parameterNotFoundAction"] == "Allow"


def test_the_catalogue_parameter_is_a_config_map_of_texts_that_kubectl_can_apply() -> None:
    text = (ROOT / "config/admission/catalogue.yaml").read_text("utf-8")
    parameter = yaml.load(text, Loader=yaml.CSafeLoader)
    data = parameter["data"]

    assert len(json.dumps(parameter, separators=(",", ":"))) < MAX_ANNOTATIONS_BYTES
    assert data["sku.Standard_NC6s_v3.gpus"] == "1"
    assert all(isinstance(value, str) for value in data.values())


def test_bound_that_is_a_number_here_and_a_boolean_in_a_crd_is_refused() -> None:
    """A CRD with `exclusiveMaximum: 100` is refused by API servers, and its OpenAPI document by kubectl."""

    class Odd(BaseModel):
        ordinal: Annotated[int, Field(lt=100)] = 0

    with pytest.raises(ValueError, match="ordinal: exclusiveMaximum"):
        structural_schema(Odd)
