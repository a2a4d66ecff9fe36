"""Rules that look at the Workspace as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from kaito_controller.api import patterns, sentences
from kaito_controller.api.types import Workspace
from kaito_controller.api.violation import CREATE_ONLY, Violation, quote


def check_root(workspace: Workspace) -> Iterator[Violation]:
    """Name, presence of the parts, and what one part demands of another."""
    name = workspace.metadata.name
    if not patterns.fits(patterns.SERVICE_NAME, name):
        yield Violation("metadata.name", f"{quote(name)} {sentences.WORKSPACE_NAME}", CREATE_ONLY)
    if workspace.resource is None and not _was_malformed(workspace, "resource"):
        yield Violation("resource", sentences.RESOURCE_MISSING, CREATE_ONLY)
    if (workspace.inference is None) == (workspace.tuning is None):
        yield Violation("inference", sentences.NEITHER_OR_BOTH, CREATE_ONLY)
    if workspace.tuning is not None and workspace.resource is not None and workspace.resource.count != 1:
        yield Violation("resource.count", sentences.TUNING_COUNT, CREATE_ONLY)
    if workspace.tuning is not None and workspace.spec.replicas != 1:
        yield Violation("spec.replicas", sentences.TUNING_REPLICAS, "spec.replicas")


def _was_malformed(workspace: Workspace, field: str) -> bool:
    return any(v.field.partition(".")[0] == field for v in workspace.malformed)
