"""Which image a preset runs from, and with which pull secrets.

The Workspace decides between the published image and the user's own (`accessMode`), as published; secrets of every image that the
pod pulls are merged, because a pod has one list for all its containers.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller_runtime.resources import Object
from kaito_controller.api.types import PresetSpec
from kaito_controller.workloads.context import WorkloadContext


def model_image(ctx: WorkloadContext, spec: PresetSpec) -> str:
    """The image of the model server or trainer."""
    return spec.private_image or ctx.required_preset.image(ctx.settings.image_registry)


def preset_pull_secrets(spec: PresetSpec) -> list[str]:
    """Secrets for the user's own model image; the published images are pulled without."""
    return spec.preset_options.image_pull_secrets if spec.private_image else []


def pull_secrets(*names: Iterable[str]) -> list[Object]:
    """`imagePullSecrets` from several lists: the first mention counts, later ones are dropped."""
    unique = dict.fromkeys(name for group in names for name in group if name)
    return [{"name": name} for name in unique]
