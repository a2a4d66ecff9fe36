"""Both binaries as processes on one localcluster, driven with kubectl.

The cluster is made once for the module; each test works in a namespace of its own and leaves nothing behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from test.support.kaito_rig import Rig

_SERIAL = itertools.count()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("rig")) as running:
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
