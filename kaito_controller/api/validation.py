"""Every rule of a Workspace as pure functions: the same verdicts as the CRD's CEL rules and the admission policy.

Used by the controller for clusters without the policy, for objects older than it, and for what admission cannot see. The rules
themselves are in `rules/`; here is the order, and what counts on an update.
"""

from __future__ import annotations

from collections.abc import Iterator

from kaito_controller.api.capacity import check_capacity
from kaito_controller.api.rules.catalogue import check_adapters, check_catalogue
from kaito_controller.api.rules.inference import check_inference
from kaito_controller.api.rules.resource import check_resource
from kaito_controller.api.rules.root import check_root
from kaito_controller.api.rules.tuning import check_tuning
from kaito_controller.api.types import Workspace
from kaito_controller.api.violation import Violation
from kaito_controller.catalog.model import Catalog


def validate_create(workspace: Workspace, catalog: Catalog) -> list[Violation]:
    """Everything that is wrong with a new Workspace; empty when it can work."""
    return [*workspace.malformed, *shape_rules(workspace, catalog), *check_catalogue(workspace, catalog)]


def shape_rules(workspace: Workspace, catalog: Catalog) -> Iterator[Violation]:
    """The rules about what is written; whether its model fits the nodes is for `validate_create`."""
    yield from check_root(workspace)
    yield from check_capacity(
        workspace.metadata.annotations, workspace.resource.node_labels if workspace.resource else {}
    )
    if workspace.resource is not None:
        yield from check_resource(workspace.resource)
    if workspace.inference is not None:
        yield from check_inference(workspace.inference)
    if workspace.tuning is not None:
        yield from check_tuning(workspace.tuning)
    yield from check_adapters(workspace, catalog)
