"""Answers of the API server that make an action impossible until something outside changes, and how they are shown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller_runtime.errors import BadRequest, Forbidden, Invalid, NotFound, RequestTooLarge, TerminalApiError
from controller_runtime.resources import (
    Object,
    annotations_of,
    controller_of,
    finalizers_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from controller_runtime.untrusted import entries, mapping
from kaito_controller.api import labels, reasons
from kaito_controller.nodeapi import api_of
from kaito_controller.nodeapi.port import NodeApi
from kaito_controller.workloads.metadata import MANAGED_BY
from kaito_controller.workspace.act.actions import Action, Create, Replace
from kaito_controller.workspace.state.machines import owner_key
from kaito_controller.workspace.state.records import shorten
from kaito_controller.workspace.state.snapshot import ApiRejection

REFUSED = (Forbidden, Invalid, BadRequest, RequestTooLarge, NotFound)
"""Answers that will be the same until something outside changes."""


def is_left_behind(live: Object, workspace: Object) -> bool:
    """An object that was made for a Workspace of this name, and that lost its owner: restored from a backup, as a rule.

    It carries our labels and the hash that only this program writes, and no controller owns it; another Workspace of the name cannot exist.
    """
    found = labels_of(live)
    return (
        controller_of(live) is None
        and found.get(labels.WORKSPACE) == name_of(workspace)
        and found.get("app.kubernetes.io/managed-by") == MANAGED_BY
        and labels.TEMPLATE_HASH in annotations_of(live)
    )


class NameTakenError(Exception):
    """A name that we need is carried by an object that is not ours, for good or until that is gone; `reason` says which."""

    def __init__(self, live: Object, workspace: Object) -> None:
        what, owner = f"{live.get('kind')} {name_of(live)}", controller_of(live) or {}
        self.reason = reasons.NAME_BEING_FREED
        if is_deleting(live):
            kept = f", kept by finalizers {', '.join(finalizers_of(live)[:5])}" if finalizers_of(live) else ""
            told = f"Waiting for {what} to be removed, which is already being deleted{kept}."
        elif _is_of_a_predecessor(owner, workspace):
            told = (
                f"Waiting for {what} to be removed: it was made for an earlier Workspace {name_of(workspace)}, which was deleted, "
                "and is left to the garbage collector."
            )
        else:
            self.reason = reasons.NAME_TAKEN
            whose = owner_key(live) or f"{owner.get('kind', '')} {owner.get('name', '')}".strip() or "somebody else"
            told = f"{what} exists and belongs to {whose}. Delete or rename it."
        super().__init__(told)


def _is_of_a_predecessor(owner: Mapping[str, Any], workspace: Object) -> bool:
    """Two Workspaces of one name cannot be at the same time, so another UID under our name is that of one that is gone."""
    group = str(owner.get("apiVersion", "")).rpartition("/")[0]
    return (
        (owner.get("kind"), group, owner.get("name")) == (labels.KIND, labels.GROUP, name_of(workspace))
        and owner.get("uid") != uid_of(workspace)
    )  # fmt: skip


class AnotherSelectorError(Exception):
    """An object of ours cannot be updated, because that would change which pods it selects."""

    def __init__(self, live: Object) -> None:
        kind, name = str(live["kind"]), name_of(live)
        super().__init__(
            f"{kind} {name} selects its pods by other labels, which cannot be changed. Delete the {kind} and it is made anew: "
            f"kubectl delete {kind.lower()} {name} -n {namespace_of(live)}."
        )


def selects_alike(live: Object, desired: Object) -> bool:
    """Whether an update is possible as far as selectors go. Those of a Service can be changed, that of a Job is the server's."""
    if desired["kind"] not in ("Deployment", "StatefulSet"):
        return True
    return bool(mapping(live.get("spec")).get("selector") == desired["spec"]["selector"])


class SchemaTooOldError(Exception):
    """The installed CRD drops what must be remembered."""

    def __init__(self) -> None:
        super().__init__(
            "The installed CRD workspaces.kaito.sh is older than this controller and drops status.record, without which failed attempts "
            "cannot be counted. Apply the CRD of this release: kubectl apply --server-side -f config/crd/kaito.sh_workspaces.yaml"
        )


REFUSED_RETRY_S = 60.0
"""Nothing announces that a rejection would not be repeated."""
_AGAIN = f"It is tried again every {REFUSED_RETRY_S:.0f} s."


def taken(error: NameTakenError) -> ApiRejection:
    """What to show for a name that another object carries."""
    return ApiRejection(f"{error} {_AGAIN}", reason=error.reason)


def rejection_of(action: Action, error: TerminalApiError) -> ApiRejection:
    """What to show for an action that was refused."""
    if isinstance(action, Create | Replace) and _is_about_the_selector(error):
        obj = action.live if isinstance(action, Replace) else action.obj  # whose name a restored one has
        return ApiRejection(f"{AnotherSelectorError(obj)} {_AGAIN}")
    told = f"{_what(action)}: {shorten(str(error), 400).rstrip('.')}. {_AGAIN}"
    if not isinstance(action, Create) or not action.orders_node:
        return ApiRejection(told)
    if isinstance(error, NotFound):
        return ApiRejection(_type_missing(api_of(action.obj)), machine=True, reason=reasons.MACHINE_API_MISSING)
    return ApiRejection(f"The API server refuses the {action.kind}: {told}", machine=True)


MISSING_RETRY_S = 10.0
"""Whoever installs a CRD is watching the clock."""


def _type_missing(api: NodeApi) -> str:
    return (
        f"{api.kind}s cannot be ordered: the CRD {api.crd} is not installed any more. Install it again: "
        f"kubectl apply --server-side -f {api.crd_file}. It is tried again every {MISSING_RETRY_S:.0f} s."
    )


def retry_s(rejection: ApiRejection) -> float:
    """When what was refused is tried again."""
    return MISSING_RETRY_S if rejection.reason is reasons.MACHINE_API_MISSING else REFUSED_RETRY_S


def _what(action: Action) -> str:
    match action:
        case Create():
            return f"{action.kind} {name_of(action.obj)}"
        case Replace():
            return f"{action.desired['kind']} {name_of(action.desired)}"
        case _:
            return type(action).__name__


def _is_about_the_selector(error: TerminalApiError) -> bool:
    return isinstance(error, Invalid) and any(
        cause.get("field") == "spec.selector" for cause in entries(error.details.get("causes"), 32)
    )
