"""What a tenant could stop the operators with, against real processes: they answer, and serve the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from test.fuzz.__main__ import seeds
from test.fuzz.arena import Arena

pytestmark = [pytest.mark.e2e, pytest.mark.localcluster("the fuzz target drives localcluster in its own process")]


def test_operators_live_through_every_seed_and_another_workspace_becomes_ready(tmp_path: Path) -> None:
    known = list(seeds())
    with Arena(tmp_path) as arena:
        for _, volley in known:
            arena.strike(volley)

        arena.serve_another()

        arena.look()
    assert arena.accepted["POST workspaces"] >= len(known)
