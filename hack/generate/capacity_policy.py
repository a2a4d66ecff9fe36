"""The admission policy on the annotation `kaito.sh/capacity-type`; in Python the same is `kaito_controller/api/capacity.py`.

A policy of its own, since the rules of a CRD see no annotations, and since it needs no catalogue. It also runs on updates: the annotation
may be changed.
"""

from __future__ import annotations

from typing import Any

from hack.generate.cel import quoted, text
from hack.generate.policy import WRITES_OF_WORKSPACES
from kaito_controller.api import capacity

NAME = "kaito-workspace-capacity-type"
_VALUE = f"object.metadata.annotations[{text(capacity.CAPACITY_TYPE)}]"
_ASKED = f"has(object.metadata.annotations) && {text(capacity.CAPACITY_TYPE)} in object.metadata.annotations"
_WHERE = text(f'metadata.annotations["{capacity.CAPACITY_TYPE}"]: ')
_LABELS = "object.resource.labelSelector.matchLabels"


def capacity_policy() -> dict[str, Any]:
    """The ValidatingAdmissionPolicy."""
    known = ", ".join(text(value) for value in capacity.CHOICES)
    label = text(capacity.LABEL)
    agrees = f"!has(object.resource) || !has({_LABELS}) || !({label} in {_LABELS}) || {_LABELS}[{label}] == {_VALUE}"
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": WRITES_OF_WORKSPACES,
            "matchConditions": [
                {"name": "not-being-deleted", "expression": "!has(object.metadata.deletionTimestamp)"},
                {"name": "asks-for-a-capacity-type", "expression": _ASKED},
                {"name": "is-new", "expression": f"request.operation == 'CREATE' || !({_unchanged()})"},
            ],
            "validations": [
                {
                    "expression": f"{_VALUE} in [{known}]",
                    "messageExpression": f"{_WHERE} + {quoted(_VALUE)} + {text(f' {capacity.UNKNOWN}')}",
                    "message": f"{capacity.CAPACITY_TYPE} {capacity.UNKNOWN}",
                },
                {
                    "expression": agrees,
                    "messageExpression": f"{_WHERE} + {quoted(_VALUE)} + {text(f' {capacity.CONTRADICTS}')}",
                    "message": f"{capacity.CAPACITY_TYPE} {capacity.CONTRADICTS}",
                },
            ],
        },
    }


def _unchanged() -> str:
    """So that a Workspace of before the policy can still be changed in other ways."""
    old = _VALUE.replace("object.", "oldObject.", 1)
    there = _ASKED.replace("object.", "oldObject.")
    return f"({there}) && {old} == {_VALUE}"


def capacity_binding() -> dict[str, Any]:
    """The ValidatingAdmissionPolicyBinding."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {"policyName": NAME, "validationActions": ["Deny"]},
    }
