"""The annotation `kaito.sh/capacity-type` at `kubectl apply`: the policy says what the Python rule says, on creation and on a change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller_runtime.resources import Object
from kaito_controller.api.capacity import CAPACITY_TYPE, CHOICES, LABEL, check_capacity
from kaito_controller.api.labels import WORKSPACES
from test.e2e.admission.conftest import NAMESPACE, Cluster, asking_for

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("label", [None, "spot", "on-demand"])
@pytest.mark.parametrize("value", [*CHOICES, "Spot", "", "x" * 300])
def test_policy_and_python_say_the_same(cluster: Cluster, value: str, label: str | None) -> None:
    labels = {LABEL: label} if label else {}
    wanted = [f"{found.field}: {found.message}" for found in check_capacity({CAPACITY_TYPE: value}, labels)]

    said = cluster.refusal(asking_for(value, **labels))

    assert bool(said) == bool(wanted)
    assert all(sentence in said for sentence in wanted)


@pytest.fixture
def stored(cluster: Cluster) -> Iterator[Object]:
    obj = asking_for("spot")
    obj["metadata"]["name"] = "capacity"
    yield cluster.client.create(WORKSPACES, obj, NAMESPACE)
    cluster.client.delete(WORKSPACES, "capacity", NAMESPACE)


@pytest.mark.parametrize(("value", "refused"), [("on-demand", False), (None, False), ("never", True)])
def test_annotation_may_be_changed_to_what_is_known(
    cluster: Cluster, stored: Object, value: str | None, refused: bool
) -> None:
    patch = {"metadata": {"annotations": {CAPACITY_TYPE: value}}}

    said = cluster.attempt(lambda: cluster.client.patch(WORKSPACES, "capacity", patch, NAMESPACE))

    assert bool(said) is refused
