"""What is said of instance types that their cloud retires: one sentence, for the warning at `kubectl apply` and for a refused order."""

from __future__ import annotations

from kaito_controller.catalog.model import InstanceType


def retirement_text(instance_type: InstanceType) -> str:
    """`Standard_NC6s_v3 is retired by azure (2025-09-30): ...`; "" for a size whose end nobody has announced."""
    if not instance_type.retirement:
        return ""
    name, cloud = instance_type.name, instance_type.cloud
    cure = (
        f"the nearest current type is {instance_type.replacement}"
        if instance_type.replacement
        else "choose a current type"
    )
    return f"{name} is retired by {cloud} ({instance_type.retirement}): new nodes may be refused; {cure}"
