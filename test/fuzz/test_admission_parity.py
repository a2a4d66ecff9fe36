"""The generated CEL rules and the Python rules give the same verdict on the same objects.

Two implementations are compared, so a slip in either shows as a disagreement; the table of bad variants pins what the verdict is.
"""

from __future__ import annotations

import json
import random

import pytest

from kaito_controller.api.types import Workspace
from kaito_controller.api.validation import validate_create
from kaito_controller.api.violation import MAX_MESSAGE
from kaito_controller.catalog.loader import load_catalog
from test.support.admission import ApiServer
from test.support.sampling import sampled
from test.support.update_rules import validate_update
from test.support.workspaces.generate import broken_somewhere, generate

CREATES = 2000
UPDATES = 400
PARTS = 8
"""Small ones, so that each stays far from the time limit of a test on a machine that is busy."""
SEED = 20240712


@pytest.fixture(scope="module")
def server() -> ApiServer:
    return ApiServer()


@pytest.mark.parametrize("part", sampled(range(PARTS), every=4))
def test_both_sides_agree_on_every_generated_creation(part: int, server: ApiServer) -> None:
    disagreements, refused = [], 0
    for obj in generate(SEED + part, CREATES // PARTS):
        stored, errors = server.admit(obj)
        violations = validate_create(Workspace.from_object(stored), load_catalog())
        refused += bool(errors)
        assert all(len(str(v)) <= MAX_MESSAGE for v in violations)
        if bool(errors) != bool(violations):
            disagreements.append((json.dumps(obj)[:600], errors, [str(v) for v in violations]))

    assert disagreements == []
    assert 0.2 < refused * PARTS / CREATES < 0.95, "the generator no longer makes both good and bad objects"


@pytest.mark.parametrize("part", sampled(range(PARTS // 2), every=4))
def test_both_sides_agree_on_every_generated_update_whether_the_stored_object_is_good_or_not(
    part: int, server: ApiServer
) -> None:
    rng = random.Random(SEED + part)
    disagreements, compared, refused = [], 0, 0
    for obj in generate(SEED + PARTS + part, UPDATES * 4 // PARTS):
        old, errors = server.admit(obj)
        if server.breaks_schema(old):
            continue
        new, errors = server.admit(broken_somewhere(rng, old), old)
        if new["metadata"] != old["metadata"]:
            continue
        violations = validate_update(Workspace.from_object(old), Workspace.from_object(new), load_catalog())
        compared += 1
        refused += bool(errors)
        if bool(errors) != bool(violations):
            disagreements.append((json.dumps([old, new])[:1200], errors, [str(v) for v in violations]))

    assert disagreements == []
    assert compared >= UPDATES * 2 // PARTS
    assert compared * 0.1 < refused < compared * 0.95
