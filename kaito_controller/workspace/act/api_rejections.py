"""Answers of the API server that make an action impossible until something outside changes, and how they are shown. Pure."""

from __future__ import annotations

from controller_runtime.errors import BadRequest, Forbidden, Invalid, NotFound, RequestTooLarge, TerminalApiError
from controller_runtime.resources import Object, controller_of, name_of
from kaito_controller.workspace.act.actions import Action, Create
from kaito_controller.workspace.state.annotations import shorten
from kaito_controller.workspace.state.machines import owner_key
from kaito_controller.workspace.state.snapshot import Refusal

REFUSED = (Forbidden, Invalid, BadRequest, RequestTooLarge, NotFound)
"""Answers that will be the same until something outside changes."""


class NameTakenError(Exception):
    """A name that we need belongs to somebody else."""

    def __init__(self, live: Object) -> None:
        owner = controller_of(live) or {}
        whose = owner_key(live) or f"{owner.get('kind', '')} {owner.get('name', '')}".strip() or "somebody else"
        super().__init__(f"{live.get('kind')} {name_of(live)} exists and belongs to {whose}. Delete or rename it.")


def refusal_of(action: Action, error: TerminalApiError) -> Refusal:
    """What to show for an action that was refused."""
    what = f"{action.kind} {name_of(action.obj)}" if isinstance(action, Create) else type(action).__name__
    return Refusal(
        f"{what}: {shorten(str(error), 400)}", machine=isinstance(action, Create) and action.kind == "Machine"
    )
