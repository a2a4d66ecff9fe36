"""Reading raw objects: what a controller may meet in a cluster never raises, and what is left out is named."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaito_controller.api import conditions
from kaito_controller.api.types import Workspace
from kaito_controller.api.validation import validate_create
from kaito_controller.api.violation import MAX_MESSAGE
from kaito_controller.catalog.loader import load_catalog
from test.support.sampling import sampled
from test.support.update_rules import validate_update
from test.support.workspaces import good, good_workspaces
from test.support.workspaces.generate import generate

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
    max_leaves=15,
)


BASE = Workspace.from_object(good("inference"))


def _nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = {"deeper": [value]}
    return value


def _every_node(obj: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = obj.items() if isinstance(obj, dict) else enumerate(obj) if isinstance(obj, list) else ()
    return [path, *(found for key, child in items for found in _every_node(child, (*path, key)))]


def _judge(obj: Any) -> Workspace:
    """Read and validate; all messages are short."""
    workspace = Workspace.from_object(obj)
    found = [*validate_create(workspace, load_catalog()), *validate_update(BASE, workspace, load_catalog())]
    assert all(len(str(violation)) <= MAX_MESSAGE for violation in found)
    return workspace


@pytest.mark.parametrize("name", sorted(good_workspaces()))
def test_a_good_workspace_is_read_whole(name: str) -> None:
    workspace = Workspace.from_object(good(name))

    assert workspace.malformed == ()
    assert workspace.to_object() == good(name)


def test_defaults_are_those_of_the_crd() -> None:
    workspace = Workspace.from_object(good("adapter"))

    assert workspace.resource is not None
    assert workspace.resource.count == 1
    assert Workspace.from_object(good("defaults")).resource.instance_type == "Standard_NC12s_v3"  # type: ignore[union-attr]
    assert workspace.preset is not None
    assert workspace.preset.access_mode == "public"


def test_labels_written_as_expressions_count_as_node_labels() -> None:
    assert Workspace.from_object(good("replicas")).resource.node_labels == {"example.com/pool": "falcon"}  # type: ignore[union-attr]


def test_a_value_that_does_not_fit_is_left_out_named_and_leaves_its_neighbours() -> None:
    obj = good("adapter")
    obj["resource"]["count"] = "2"
    obj["inference"]["adapters"][0]["source"] = []

    workspace = Workspace.from_object(obj)

    assert {violation.field for violation in workspace.malformed} >= {"resource.count", "inference.adapters[0].source"}
    assert workspace.resource is not None
    assert workspace.resource.count == 1
    assert workspace.resource.instance_type == "Standard_NC6s_v3"
    assert [adapter.source.name for adapter in workspace.inference.adapters] == ["second"]  # type: ignore[union-attr]


def test_nulls_count_as_absent() -> None:
    obj = good("inference") | {"tuning": None, "status": None}
    obj["resource"]["preferredNodes"] = None

    assert Workspace.from_object(obj).malformed == ()


def test_a_template_keeps_fields_that_are_not_known_here() -> None:
    template = Workspace.from_object(good("template")).inference.template  # type: ignore[union-attr]

    assert template is not None
    assert template.to_object() == good("template")["inference"]["template"]


WRONG: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    1.5,
    math.inf,
    "",
    "x" * 5000,
    "\x00\n",
    "é\u202e",
    [],
    {},
    [None],
    {"": None},
    [[]],
]


@pytest.mark.parametrize("name", sorted(good_workspaces()))
def test_nothing_crashes_when_any_one_node_is_anything(name: str) -> None:
    for path in _every_node(good(name))[1:]:
        for value in WRONG:
            obj = good(name)
            parent: Any = obj
            for part in path[:-1]:
                parent = parent[part]
            parent[path[-1]] = copy.deepcopy(value)
            _judge(obj)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(JSON)
def test_nothing_crashes_on_any_json_at_all(obj: Any) -> None:
    _judge(obj)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(JSON, st.sampled_from(["metadata", "resource", "inference", "tuning", "status"]))
def test_nothing_crashes_when_a_whole_part_is_any_json(value: Any, part: str) -> None:
    _judge(good("inference") | {part: value})


@pytest.mark.parametrize("seed", sampled([7, 8, 9, 10], every=4))
def test_nothing_crashes_on_generated_objects(seed: int) -> None:
    for obj in generate(seed=seed, number=500):
        _judge(obj)


def test_absurd_sizes_are_read_or_refused_in_bounded_words() -> None:
    huge = good("inference")
    huge["metadata"]["annotations"] = {"a": "x" * 2**20}
    huge["metadata"]["labels"] = {f"k{i}": "v" for i in range(10_000)}
    assert _judge(huge).malformed == ()

    for change in (
        {"resource": {"labelSelector": {"matchLabels": {f"k{i}": "v" for i in range(10_000)}}}},
        {"inference": {"adapters": [{"source": {"name": f"a{i}", "image": "r.io/a:1"}} for i in range(10_000)]}},
        {"inference": {"preset": {"name": "x" * 2**20}}},
    ):
        assert _judge(good("inference") | change).malformed


def test_deep_nesting_is_kept_in_a_template_and_dropped_elsewhere() -> None:
    obj = good("template")
    obj["inference"]["template"]["spec"]["deep"] = _nested(60)
    assert _judge(obj).malformed == ()
    assert _judge(good("inference") | {"resource": _nested(150)}).malformed


@pytest.mark.parametrize("levels", [300, 900])
def test_nesting_beyond_what_can_be_walked_is_a_violation_and_no_exception(levels: int) -> None:
    obj = good("template")
    obj["inference"]["template"]["spec"]["deep"] = _nested(levels)

    workspace = Workspace.from_object(obj)

    assert "nested" in str(workspace.malformed[0])
    assert workspace.metadata.name == obj["metadata"]["name"]


def test_condition_types_are_listed_once_and_in_the_published_spelling() -> None:
    assert (
        *("MachineReady", "ResourceReady", "InferenceReady", "JobStarted"),
        *("WorkspaceReady", "WorkspaceSucceeded", "WorkspaceDeleting"),
    ) == conditions.ALL
