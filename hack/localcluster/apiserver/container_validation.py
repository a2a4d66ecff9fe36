"""Rules about containers, volumes and tolerations that Kubernetes' Go code states: those that a dry run of a pod is asked for.

A dry run is believed: what a real server refuses must be refused here, or a node would be ordered for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hack.localcluster.apiserver.errors import Cause
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.quantity import parse_quantity
from hack.localcluster.apiserver.validation import quoted

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_OPERATORS = ("Equal", "Exists")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")


def container_rules(container: Object, where: str) -> Iterator[Cause]:
    """One container."""
    for index, port in enumerate(container.get("ports") or []):
        number = port.get("containerPort", 0)
        if not 1 <= number <= 65535:
            yield Cause(
                f"{where}.ports[{index}].containerPort",
                f"Invalid value: {number}: must be between 1 and 65535, inclusive",
            )
    policy = container.get("imagePullPolicy")
    if policy and policy not in _PULL_POLICIES:
        yield _unsupported(f"{where}.imagePullPolicy", policy, _PULL_POLICIES)
    for probe in _PROBES:
        if container.get(probe) is not None and not any(container[probe].get(handler) for handler in _HANDLERS):
            yield Cause(f"{where}.{probe}", "Required value: must specify a handler type", "FieldValueRequired")
    yield from _resource_rules(container.get("resources") or {}, f"{where}.resources")


def pod_rules(spec: Object, path: str) -> Iterator[Cause]:
    """Volumes and tolerations of a pod."""
    for index, volume in enumerate(spec.get("volumes") or []):
        kinds = [kind for kind, value in volume.items() if kind != "name" and value is not None]
        for kind in kinds[1:]:
            text = "Forbidden: may not specify more than 1 volume type"
            yield Cause(f"{path}.volumes[{index}].{kind}", text, "FieldValueForbidden")
    for index, toleration in enumerate(spec.get("tolerations") or []):
        operator = toleration.get("operator")
        if operator and operator not in _OPERATORS:
            yield _unsupported(f"{path}.tolerations[{index}].operator", operator, _OPERATORS)


def undecodable_quantity(value: Any, inside: bool = False) -> str | None:
    """The first text below `resources` that is no quantity: the server cannot even decode such an object, and answers 400."""
    if isinstance(value, list):
        return next(filter(None, (undecodable_quantity(item) for item in value)), None)
    if not isinstance(value, dict):
        return None
    for key, child in value.items():
        if inside and key in ("limits", "requests") and isinstance(child, dict):
            found = next((str(amount) for amount in child.values() if _amount(amount) is None), None)
        else:
            found = undecodable_quantity(child, inside=key == "resources")
        if found is not None:
            return found
    return None


def _resource_rules(resources: Object, where: str) -> Iterator[Cause]:
    limits = resources.get("limits") or {}
    for name, amount in (resources.get("requests") or {}).items():
        asked, most = _amount(amount), _amount(limits.get(name, amount))
        if asked is not None and most is not None and asked > most:
            text = f"Invalid value: {quoted(amount)}: must be less than or equal to {name} limit of {limits[name]}"
            yield Cause(f"{where}.requests", text)


def _amount(value: Any) -> Decimal | None:
    try:
        return parse_quantity(str(value))
    except ValueError:
        return None


def _unsupported(field: str, value: str, supported: tuple[str, ...]) -> Cause:
    listed = ", ".join(f'"{name}"' for name in supported)
    return Cause(field, f'Unsupported value: "{value}": supported values: {listed}', "FieldValueNotSupported")
