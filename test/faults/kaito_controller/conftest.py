"""One small world for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from test.support.workspace_world import World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as running:
        yield running
