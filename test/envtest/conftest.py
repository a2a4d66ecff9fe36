"""The server under test: the one of KUBECONFIG_UNDER_TEST, else a control plane of the chosen minor, started here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.envtest import binaries
from hack.envtest.control_plane import ControlPlane


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    """The administrator's."""
    given = os.environ.get("KUBECONFIG_UNDER_TEST")
    if given:
        yield Path(given)
        return
    with ControlPlane(binaries.ensure_control_plane(binaries.chosen_minor())) as plane:
        yield plane.kubeconfig
