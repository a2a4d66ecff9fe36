"""The controller and a provisioner as processes on one cluster, driven with kubectl.

The cluster is made once for the module; each test works in a namespace of its own and leaves nothing behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from test.support.chosen_rig import CHOSEN_API, ChosenRig, apis_to_run
from test.support.kaito_rig import Rig

_SERIAL = itertools.count()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What carries the marker `node_apis` is run once for each API by which nodes are ordered, on a cluster that has only that one.

    `E2E_NODE_API` names one for the whole suite; Karpenter knows one only.
    """
    several = len(apis_to_run()) > 1  # With one, all tests of a module share a cluster.
    if several and "rig" in metafunc.fixturenames and metafunc.definition.get_closest_marker("node_apis"):
        metafunc.parametrize("rig", apis_to_run(), indirect=True, scope="module")


@pytest.fixture(scope="module")
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with ChosenRig(tmp_path_factory.mktemp("rig"), node_api=getattr(request, "param", CHOSEN_API)) as running:
        yield running


@pytest.fixture
def namespace(rig: Rig) -> Iterator[str]:
    name = f"team-{next(_SERIAL)}"
    rig.kubectl("create", "namespace", name)
    yield name
    rig.clean(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
