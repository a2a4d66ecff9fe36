"""The objects of each kind of Workspace, byte by byte, and against the schemas that Kubernetes publishes."""

from __future__ import annotations

import pytest

from kaito_controller.workloads import build_objects
from test.unit.kaito_controller.workloads.cases import CASES, GOLDEN, as_yaml, validate


@pytest.mark.parametrize("name", sorted(CASES))
def test_generated_objects_are_those_that_were_reviewed(name: str) -> None:
    assert as_yaml(build_objects(CASES[name]())) == (GOLDEN / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", sorted(CASES))
def test_generated_objects_fit_the_published_schemas_without_unknown_fields(name: str) -> None:
    for obj in build_objects(CASES[name]()):
        validate(obj)


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)
