"""Answers of the API server that make an action impossible until something outside changes, and how they are shown. Pure."""

from __future__ import annotations

from controller_runtime.errors import BadRequest, Forbidden, Invalid, NotFound, RequestTooLarge, TerminalApiError
from controller_runtime.resources import Object, controller_of, name_of
from kaito_controller.workspace.act.actions import Action, Create
from kaito_controller.workspace.state.machines import owner_key
from kaito_controller.workspace.state.records import shorten
from kaito_controller.workspace.state.snapshot import Refusal

REFUSED = (Forbidden, Invalid, BadRequest, RequestTooLarge, NotFound)
"""Answers that will be the same until something outside changes."""


class NameTakenError(Exception):
    """A name that we need belongs to somebody else."""

    def __init__(self, live: Object) -> None:
        owner = controller_of(live) or {}
        whose = owner_key(live) or f"{owner.get('kind', '')} {owner.get('name', '')}".strip() or "somebody else"
        super().__init__(f"{live.get('kind')} {name_of(live)} exists and belongs to {whose}. Delete or rename it.")


class SchemaTooOldError(Exception):
    """The installed CRD drops what must be remembered."""

    def __init__(self) -> None:
        super().__init__(
            "The installed CRD workspaces.kaito.sh is older than this controller and drops status.record, without which failed attempts "
            "cannot be counted. Apply the CRD of this release: kubectl apply --server-side -f config/crd/kaito.sh_workspaces.yaml"
        )


def refusal_of(action: Action, error: TerminalApiError) -> Refusal:
    """What to show for an action that was refused."""
    what = f"{action.kind} {name_of(action.obj)}" if isinstance(action, Create) else type(action).__name__
    told = f"{what}: {shorten(str(error), 400)}"
    is_machine = isinstance(action, Create) and action.kind == "Machine"
    return Refusal(f"The API server refuses the Machine: {told}" if is_machine else told, machine=is_machine)
