"""What AKS refuses in the body of an agent pool: names, labels, taints, sizes, and changes of fixed properties.

Only rules that AKS is known to enforce at the request; everything else is accepted as sent.
"""

from __future__ import annotations

import re
from typing import Any

from hack.localcluster.cloud.errors import ArmError, change_not_allowed, invalid_parameter

_POOL_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LABEL_PREFIX = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_TAINT = re.compile(r"(?P<key>[^=:]+)(=(?P<value>[^:]*))?:(?P<effect>NoSchedule|PreferNoSchedule|NoExecute)")
_RESERVED_PREFIX = "kubernetes.azure.com/"
_FIXED = ("vmSize", "osDiskSizeGB", "osType", "type")


def check_pool_name(name: str) -> None:
    """1 to 12 lower-case letters and digits, a letter first (Linux pools)."""
    if not _POOL_NAME.fullmatch(name):
        raise invalid_parameter(
            f"The value of parameter agentPool.name is invalid. Error details: the agent pool name '{name}' is invalid: it must "
            "start with a lowercase letter, contain only lowercase letters and digits, and have at most 12 characters for Linux."
        )


def check_properties(properties: dict[str, Any]) -> None:
    """Refuse what AKS refuses at the door."""
    if not isinstance(properties.get("vmSize"), str) or not properties["vmSize"]:
        raise invalid_parameter("Required parameter agentPool.properties.vmSize is missing (null).")
    _check_range(properties, "count", 0, 1000)
    # Microsoft's template reference of managedClusters/agentPools: "Min value = 0, Max value = 2048", and 0 is the VM size's default. The
    # overflowed numbers of gpu-provisioner 0.2.x (50Gi is sent as -2147483648, 120Gi as 0) are outside of it but for 0; what Azure makes
    # of those others is not documented.
    _check_range(properties, "osDiskSizeGB", 0, 2048)
    _check_priority(properties)
    for key, value in (properties.get("nodeLabels") or {}).items():
        _check_label(key, value)
    for taint in properties.get("nodeTaints") or []:
        _check_taint(taint)


def check_change(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse a change of what is fixed at creation."""
    for prop in _FIXED:
        if new.get(prop) not in (None, 0, old.get(prop)):
            raise change_not_allowed(f"properties.{prop}")


def parse_taint(text: str) -> dict[str, str]:
    """`key=value:effect` as a Node's taint; ValueError when it is none."""
    match = _TAINT.fullmatch(text)
    if match is None:
        raise ValueError(f"taint {text!r}: expected key=value:effect")
    taint = {"key": match["key"], "effect": match["effect"]}
    return {**taint, "value": match["value"]} if match["value"] else taint


def _check_range(properties: dict[str, Any], prop: str, low: int, high: int) -> None:
    value = properties.get(prop)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise invalid_parameter(
            f"The value of parameter agentPool.properties.{prop} is invalid. Error details: {value} is not between {low} and {high}."
        )


def _check_priority(properties: dict[str, Any]) -> None:
    """Spot only for user pools; what concerns spot only with it."""
    priority = properties.get("scaleSetPriority")
    if priority not in (None, "Regular", "Spot"):
        raise invalid_parameter(
            f"The value of parameter agentPool.properties.scaleSetPriority is invalid: '{priority}'."
        )
    if priority == "Spot" and properties.get("mode") == "System":
        raise invalid_parameter("A spot agent pool cannot be a system pool: agentPool.properties.mode must be User.")
    for prop in ("scaleSetEvictionPolicy", "spotMaxPrice"):
        if priority != "Spot" and properties.get(prop) is not None:
            raise invalid_parameter(
                f"The value of parameter agentPool.properties.{prop} is invalid. Error details: it needs scaleSetPriority Spot."
            )


def _check_label(key: str, value: object) -> None:
    if key.startswith(_RESERVED_PREFIX):
        raise ArmError(
            400,
            "InvalidParameter",
            f"Node label '{key}' is invalid: the prefix '{_RESERVED_PREFIX}' is reserved for AKS.",
            subcode="ReservedLabelPrefix",
        )
    prefix, slash, name = key.rpartition("/")
    valid_key = _LABEL_NAME.fullmatch(name) and (not slash or _LABEL_PREFIX.fullmatch(prefix))
    valid_value = isinstance(value, str) and (value == "" or _LABEL_NAME.fullmatch(value))
    if not (valid_key and valid_value):
        raise invalid_parameter(f"Node label '{key}={value}' is invalid: it is not a valid Kubernetes label.")


def _check_taint(taint: object) -> None:
    match = _TAINT.fullmatch(taint) if isinstance(taint, str) else None
    if match is None or (match["value"] and not _LABEL_NAME.fullmatch(match["value"])):
        raise invalid_parameter(
            f"Node taint '{taint}' is invalid: expected key=value:effect with effect NoSchedule, PreferNoSchedule or NoExecute."
        )
