"""Every rule of a Workspace as pure functions: the same verdicts as the CRD's CEL rules and the admission policy.

Used by the controller for clusters without the policy, for objects older than it, and for what admission cannot see.
"""

from __future__ import annotations

from kaito_controller.api.types import Workspace
from kaito_controller.api.violation import Violation
from kaito_controller.catalog.model import Catalog


def validate_create(workspace: Workspace, catalog: Catalog) -> list[Violation]:
    """Everything that is wrong with a new Workspace; empty when it can work."""
    raise NotImplementedError


def validate_update(old: Workspace, new: Workspace, catalog: Catalog) -> list[Violation]:
    """Everything that is wrong with this change; faults that `old` already had, in parts that did not change, are not repeated."""
    raise NotImplementedError
