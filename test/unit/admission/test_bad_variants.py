"""Every line of the table of bad Workspaces, against the Python rules and against the generated CEL rules."""

from __future__ import annotations

import pytest

from kaito_controller.api.types import Workspace
from kaito_controller.api.validation import validate_create
from kaito_controller.api.violation import MAX_MESSAGE
from kaito_controller.catalog.loader import load_catalog
from test.support.admission import ApiServer
from test.support.update_rules import validate_update
from test.support.workspaces import Variant, good, good_workspaces, variants

VARIANTS = variants()


@pytest.fixture(scope="module")
def server() -> ApiServer:
    return ApiServer()


def _python_says(variant: Variant) -> list[str]:
    old, new = Workspace.from_object(variant.good), Workspace.from_object(variant.bad)
    found = validate_update(old, new, load_catalog()) if variant.is_update else validate_create(new, load_catalog())
    return [str(violation) for violation in found]


def test_the_table_is_as_long_as_promised() -> None:
    assert len(VARIANTS) >= 60
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)


@pytest.mark.parametrize("name", sorted(good_workspaces()))
def test_a_good_workspace_is_accepted_by_both_sides(name: str, server: ApiServer) -> None:
    stored, errors = server.admit(good(name))

    assert errors == []
    assert validate_create(Workspace.from_object(good(name)), load_catalog()) == []
    assert validate_create(Workspace.from_object(stored), load_catalog()) == []


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_python_rules_refuse_it_with_the_right_sentence(variant: Variant) -> None:
    messages = _python_says(variant)

    assert messages
    assert all(len(message) <= MAX_MESSAGE for message in messages)
    if not variant.schema_only:
        assert any(variant.sentence in message for message in messages), messages


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_generated_rules_refuse_it_with_the_right_sentence(variant: Variant, server: ApiServer) -> None:
    stored = server.admit(variant.good)[0] if variant.is_update else None

    _, errors = server.admit(variant.bad, stored)

    assert errors
    if not variant.schema_only:
        assert any(variant.sentence in message for message in errors), errors


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.is_update], ids=lambda variant: variant.name)
def test_what_an_update_variant_starts_from_is_good(variant: Variant, server: ApiServer) -> None:
    assert server.admit(variant.good)[1] == []
    assert validate_create(Workspace.from_object(variant.good), load_catalog()) == []
