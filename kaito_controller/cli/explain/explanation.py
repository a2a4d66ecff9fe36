"""What there is of a Workspace, explained: what it waits for, since and until when, whose move it is, the cure, the next command. Pure.

The cause is the condition's own message, the cure the one of the reason tables: of the node object's reason where the trouble is there,
else of the Workspace's. Nothing is concluded here that the controller does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from controller_runtime.clock import rfc3339
from controller_runtime.conditions import get_condition
from controller_runtime.resources import Object, is_deleting, name_of, namespace_of
from controller_runtime.untrusted import integer, mapping, moment
from kaito_controller.api.conditions import WORKSPACE_DELETING, WORKSPACE_READY
from kaito_controller.api.reasons import POD_UNSCHEDULABLE, REASONS, WAIT, Reason, Severity
from kaito_controller.api.schema import MAX_INSTANCE_TYPES
from kaito_controller.api.sentences import try_again
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.cli import nodeobjects
from kaito_controller.cli.ages import next_moment
from kaito_controller.cli.containers import container_that_matters
from kaito_controller.cli.explain.gathered import Gathered
from kaito_controller.cli.explain.moves import YOURS, command_of, move_of
from kaito_controller.cli.explain.steps import Mark, Step, chain
from kaito_controller.cli.progress import counted

NOT_SEEN = Reason(
    "NotSeenYet",
    Severity.WAITING,
    (WORKSPACE_READY,),
    "The controller has not looked at this Workspace yet.",
    "Wait a moment; if this persists, see whether the controller runs.",
)
_DOCTOR = "kubectl kaito doctor"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer of `explain`."""

    namespace: str
    name: str
    subject: str
    """What is asked for, such as `inference of phi-3-mini-4k-instruct on 1 x Standard_NC6s_v3`."""
    now: datetime
    ready: bool
    deleting: bool
    reason: Reason
    message: str
    since: datetime | None
    until: datetime | None
    move: str
    cure: str
    command: str
    steps: tuple[Step, ...]
    gaps: tuple[str, ...]
    progress: Mapping[str, Any]

    @property
    def progress_text(self) -> str:
        """What the pod counts, such as `2.8Gi of 14Gi of weights`; "" when it counts nothing."""
        found = counted(self.progress)
        return found[1] if found else ""

    @property
    def is_over(self) -> bool:
        """Nothing more happens by itself: it is ready, or has failed for good."""
        return self.ready or self.reason.severity is Severity.TERMINAL


def explain(gathered: Gathered) -> Explanation:
    """One look, explained."""
    workspace = gathered.workspace
    kind = WORKSPACE_DELETING if is_deleting(workspace) else WORKSPACE_READY
    shown = get_condition(mapping(workspace.get("status")).get("conditions"), kind) or {}
    reason = _reason(shown)
    steps = _blamed(chain(gathered), reason)
    message = str(shown.get("message") or reason.cause) + _outdated(workspace, shown)
    troubled = _troubled_machine(gathered, reason)
    until = next_moment(message, gathered.now)
    return Explanation(
        namespace=namespace_of(workspace),
        name=name_of(workspace),
        subject=_subject(workspace),
        now=gathered.now,
        ready=kind == WORKSPACE_READY and shown.get("status") == "True",
        deleting=is_deleting(workspace),
        reason=reason,
        message=message,
        since=_since(steps, shown),
        until=until,
        move=move_of(reason, troubled.blocking.reason if troubled else ""),
        cure=_warned_cure(gathered, reason) or _cure(reason, troubled, until),
        command=_command(gathered, reason),
        steps=steps,
        gaps=gathered.gaps,
        progress=gathered.progress,
    )


def _reason(shown: Mapping[str, Any]) -> Reason:
    name = str(shown.get("reason") or "")
    if not name:
        return NOT_SEEN
    severity = Severity.GOOD if shown.get("status") == "True" else Severity.TROUBLE
    return REASONS.get(name) or Reason(
        name, severity, (WORKSPACE_READY,), "", "This plugin does not know the reason; the message says what to do."
    )


def _blamed(steps: tuple[Step, ...], reason: Reason) -> tuple[Step, ...]:
    """With the Workspace itself marked when something is wrong and no other link is to blame."""
    troubled = reason.severity in (Severity.TROUBLE, Severity.TERMINAL)
    if not troubled or any(step.mark is Mark.TROUBLE for step in steps):
        return steps
    below = (replace(step, state="none") if step.mark is Mark.LATER else step for step in steps[1:])
    return (replace(steps[0], mark=Mark.TROUBLE, state=reason.name), *below)


def _outdated(workspace: Object, shown: Mapping[str, Any]) -> str:
    generation = integer(mapping(workspace.get("metadata")).get("generation"), most=2**63)
    seen = integer(shown.get("observedGeneration"), most=2**63)
    return " The controller has not looked at the latest change of the Workspace yet." if 0 < seen < generation else ""


def _since(steps: tuple[Step, ...], shown: Mapping[str, Any]) -> datetime | None:
    """Since when the first link in trouble is so; else since when the condition is what it is."""
    blamed = next((step.since for step in steps if step.mark is Mark.TROUBLE and step.since), None)
    return blamed or moment(shown.get("lastTransitionTime")) or steps[0].since


def _troubled_machine(gathered: Gathered, reason: Reason) -> nodeobjects.NodeObject | None:
    if reason.severity is Severity.GOOD:
        return None
    found = map(nodeobjects.read_node_object, gathered.machines)
    return next((machine for machine in found if machine.in_trouble and machine.deleting_since is None), None)


def _cure(reason: Reason, machine: nodeobjects.NodeObject | None, until: datetime | None) -> str:
    entry = nodeobjects.REASONS.get(machine.blocking.reason) if machine else None
    if entry is None and reason.cure == WAIT and until is None:
        return "Wait."
    return entry.cure if entry else reason.cure


def _warned_cure(gathered: Gathered, reason: Reason) -> str:
    """A pod that is warned about may wait for its user, long before the controller concludes so; "" when none is."""
    return "Wait, or mend what the pod says." if _is_warned(gathered, reason) else ""


def _is_warned(gathered: Gathered, reason: Reason) -> bool:
    return reason.severity is Severity.WAITING and bool(gathered.warnings)


def _command(gathered: Gathered, reason: Reason) -> str:
    """With the names of this Workspace's objects; the Workspace itself where there is no such object."""
    if reason is NOT_SEEN:
        return _DOCTOR
    names = _names(gathered)
    if reason is POD_UNSCHEDULABLE and mapping(_named(gathered, names["node"]).get("spec")).get("unschedulable"):
        return f"kubectl uncordon {names['node']}"
    if _is_warned(gathered, reason) and names["pod"]:
        return f"kubectl describe pod {names['pod']} -n {names['namespace']}"
    command = command_of(reason).format_map(names)
    return (
        command
        if "  " not in f"{command} "
        else f"kubectl describe workspace {names['workspace']} -n {names['namespace']}"
    )


def _names(gathered: Gathered) -> dict[str, str]:
    """ "" for what does not exist, which leaves two blanks in the command."""
    workspace = gathered.workspace
    namespace, name = namespace_of(workspace), name_of(workspace)
    pods = [pod for pod in gathered.pods if not is_deleting(pod)] or list(gathered.pods)
    pod = next((p for p in pods if mapping(p.get("status")).get("phase") != "Succeeded"), {})
    machine = _worst(gathered.machines, nodeobjects.read_node_object)
    nodes = [node for node in gathered.nodes if not _is_ready(node)] or list(gathered.nodes)
    return {
        "namespace": namespace,
        "workspace": name,
        "pod": name_of(pod),
        "container": _container(pod),
        "node": name_of(nodes[0]) if nodes else "",
        "machine": machine.name if machine else "",
        "machine_kind": machine.kind.lower() if machine else "",
        "try_again": try_again(namespace, name),
    }


def _named(gathered: Gathered, node: str) -> Object:
    return next((found for found in gathered.nodes if name_of(found) == node), {})


def _worst(machines: tuple[Object, ...], read: Any) -> nodeobjects.NodeObject | None:
    found: list[nodeobjects.NodeObject] = [read(machine) for machine in machines]
    unready = [machine for machine in found if not machine.is_ready]
    return next(iter(unready or found), None)


def _is_ready(node: Object) -> bool:
    shown = get_condition(mapping(node.get("status")).get("conditions"), "Ready") or {}
    return shown.get("status") == "True"


def _container(pod: Object) -> str:
    """The container that is not as it should be, else the last."""
    return container_that_matters(pod) if pod else ""


def _subject(workspace: Object) -> str:
    resource = mapping(workspace.get("resource"))
    inference, tuning = mapping(workspace.get("inference")), mapping(workspace.get("tuning"))
    preset = mapping((tuning or inference).get("preset")).get("name") or "a pod template"
    purpose = f"{tuning.get('method') or 'lora'} tuning" if tuning else "inference"
    count = _nodes_wanted(workspace, resource)
    named = _type_text(workspace, resource)
    on = f" x {named}" if named else f" node{'' if count == 1 else 's'}"
    return f"{purpose} of {preset} on {count}{on}"


def _type_text(workspace: Object, resource: Mapping[str, Any]) -> str:
    """The only instance type, or which one of a list was taken."""
    listed = resource.get("instanceTypes")
    if not isinstance(listed, list) or not listed:
        return str(resource.get("instanceType") or "")
    taken = mapping(workspace.get("status")).get("instanceType")
    names = [str(name) for name in listed[:MAX_INSTANCE_TYPES]]
    return (
        f"{taken}, one of {len(names)} instance types" if taken else f"the first that can be had of {', '.join(names)}"
    )


def _nodes_wanted(workspace: Object, resource: Mapping[str, Any]) -> int:
    """As `Workspace.node_count` has it, of an object that need not be one that admission took."""
    least = integer(resource.get("count"), most=10_000, default=1)
    inference = mapping(workspace.get("inference"))
    preset = load_catalog().preset(str(mapping(inference.get("preset")).get("name") or ""))
    if not inference or (preset is not None and preset.distributed):
        return least
    return max(least, integer(mapping(workspace.get("spec")).get("replicas"), most=10_000, default=1))


def document(explanation: Explanation) -> dict[str, Any]:
    """The answer for programs."""
    return {
        "namespace": explanation.namespace,
        "name": explanation.name,
        "subject": explanation.subject,
        "ready": explanation.ready,
        "deleting": explanation.deleting,
        "reason": explanation.reason.name,
        "kind": explanation.reason.severity.value,
        "message": explanation.message,
        "since": _text(explanation.since),
        "until": _text(explanation.until),
        "move": explanation.move,
        "cure": explanation.cure,
        "command": explanation.command,
        "yourMove": explanation.move == YOURS,
        "chain": [
            {
                "state": step.state,
                "mark": step.mark.name.lower(),
                "kind": step.kind,
                "name": step.name if step.name != "-" else None,
                "since": _text(step.since),
                "said": step.said or None,
            }
            for step in explanation.steps
        ],
        "progress": dict(explanation.progress),
        "notRead": list(explanation.gaps),
    }


def _text(when: datetime | None) -> str | None:
    return rfc3339(when) if when else None
