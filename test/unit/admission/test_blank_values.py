"""Absent, empty and default are one wish: writing one for the other is never refused, and never restarts what runs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kaito_controller.api.normal_form import without_blanks
from kaito_controller.api.types import Workspace
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.workloads import UpdateDecision, WorkloadContext, build_workload, compare, restart_reason
from test.support.admission import ApiServer
from test.support.update_rules import validate_update
from test.support.workspaces import good, good_workspaces

Object = dict[str, Any]
RECORDED = yaml.safe_load((Path(__file__).parents[2] / "support" / "workspaces" / "go_typed.yaml").read_text("utf-8"))
PRESENCE_IS_A_CHOICE = frozenset({"inference", "volumeSource", "csi", "ephemeral", "configMap", "hostPath"})
"""`{}` says that there is one: what a Workspace does is told by its sections, and what a volume is by the kind that is there."""
BLANK = {"string": "", "array": [], "object": {}}
TRAINING = {"ModelConfig": {}, "TrainingArguments": {}}


@pytest.fixture(scope="module")
def server() -> ApiServer:
    return ApiServer()


def blank_places(schema: Object, value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every optional field of the schema that `value` lacks, with the blank of its type."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from blank_places(schema.get("items", {}), item, (*path, index))
    if not isinstance(value, dict):
        return
    for name, child in schema.get("properties", {}).items():
        if name in value:
            yield from blank_places(child, value[name], (*path, name))
        elif name not in {*schema.get("required", ()), *PRESENCE_IS_A_CHOICE} and may_be_blank(child):
            yield (*path, name), BLANK[child["type"]]


def may_be_blank(schema: Object) -> bool:
    return schema.get("type") in BLANK and not schema.keys() & {"enum", "minItems", "required"}


def with_value(obj: Object, path: tuple[Any, ...], value: Any) -> Object:
    result = copy.deepcopy(obj)
    node = result
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = copy.deepcopy(value)
    return result


def refusals(server: ApiServer, before: Object, after: Object) -> list[str]:
    """What both sides of admission say to the change."""
    stored, errors = server.admit(after, before)
    violations = validate_update(Workspace.from_object(before), Workspace.from_object(stored), load_catalog())
    return [*errors, *map(str, violations)]


def workload(obj: Object) -> Object:
    workspace = Workspace.from_object({**obj, "metadata": {**obj["metadata"], "namespace": "default", "uid": "u"}})
    preset = load_catalog().preset(workspace.preset.name) if workspace.preset else None
    return build_workload(
        WorkloadContext(workspace, preset, ("node-1",), tuning_config_map="config", tuning_config=TRAINING)
    )


def would_restart(before: Object, after: Object) -> bool:
    live, desired = workload(before), workload(after)
    if live["kind"] == "Job":
        return restart_reason(live, desired) is not None
    return compare(live, desired) is UpdateDecision.ROLL_OUT


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_what_a_go_typed_client_writes_back_is_accepted_and_restarts_nothing(name: str, server: ApiServer) -> None:
    entry = RECORDED[name]
    before, errors = server.admit(good(entry["base"]))
    assert errors == []
    after = {**before, **copy.deepcopy(entry["sent"])}

    assert refusals(server, before, after) == []
    assert not would_restart(before, after)


@pytest.mark.parametrize("name", sorted(good_workspaces()))
def test_a_blank_written_into_any_field_or_taken_out_of_it_changes_nothing(name: str, server: ApiServer) -> None:
    before, _ = server.admit(good(name))
    tried = 0
    for path, blank in blank_places(server.schema, before):
        if path[0] in ("status", "metadata"):
            continue
        after = with_value(before, path, blank)
        assert refusals(server, before, after) == [], path
        assert refusals(server, after, before) == [], path
        assert not would_restart(before, after), path
        tried += 1

    assert tried >= 2


def _has_a_preset_without_options(obj: dict[str, Any]) -> bool:
    return "'preset'" in str(obj) and "'presetOptions'" not in str(obj)


@pytest.mark.parametrize("name", [n for n, obj in good_workspaces().items() if _has_a_preset_without_options(obj)])
def test_all_blanks_of_a_preset_at_once_change_nothing(name: str, server: ApiServer) -> None:
    before, _ = server.admit(good(name))
    part = "inference" if "inference" in before else "tuning"
    after = with_value(before, (part, "preset", "presetOptions"), {"image": "", "imagePullSecrets": []})

    assert refusals(server, before, after) == []
    assert refusals(server, after, before) == []


def test_a_real_change_of_a_secret_in_the_options_is_still_refused(server: ApiServer) -> None:
    before, _ = server.admit(good("distributed"))
    after = with_value(before, ("inference", "preset", "presetOptions", "imagePullSecrets"), ["other"])

    assert len(refusals(server, before, after)) == 2


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ({"metadata": {"creationTimestamp": None}, "spec": {"a": 1}}, {"spec": {"a": 1}}),
        (
            {"spec": {"hostNetwork": False, "containers": [{"name": "a", "resources": {}}]}},
            {"spec": {"containers": [{"name": "a"}]}},
        ),
        ({"volumes": [{"name": "v", "emptyDir": {}}]}, {"volumes": [{"name": "v"}]}),
    ],
)
def test_two_writings_of_one_wish_have_one_normal_form(written: Object, same: Object) -> None:
    assert without_blanks(written) == without_blanks(same)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"allowPrivilegeEscalation": False}, {}),
        ({"runAsUser": 0}, {}),
        ({"args": ["", "a"]}, {"args": ["a"]}),
        ({"tolerations": [{}]}, {}),
    ],
)
def test_two_wishes_have_two_normal_forms(one: Object, other: Object) -> None:
    assert without_blanks(one) != without_blanks(other)
