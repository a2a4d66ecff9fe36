"""The operator's own runtime image in the place of the published ones (`--model-runtime-image`).

A preset can use it when its weights are on the hub, since the image has none. Its numbers stay those of the published image, so that no
instance type is refused that was let through at `kubectl apply`. A Workspace that brings an image of its own keeps the published form.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from kaito_controller.catalog.model import RUNTIME_LAUNCHER, Catalog, Preset


def with_runtime_image(catalog: Catalog, image: str) -> Catalog:
    """`catalog` with `image` for every preset that can use it; unchanged for ""."""
    if not image:
        return catalog
    presets = {name: _served_by(preset, image) for name, preset in catalog.presets.items()}
    return replace(catalog, presets=MappingProxyType(presets))


def for_image_of_its_own(preset: Preset | None, own_image: str) -> Preset | None:
    """The preset as a Workspace with an image of its own runs it: such an image is made to the published contract."""
    return preset.published if preset and preset.published and own_image else preset


def _served_by(preset: Preset, image: str) -> Preset:
    if preset.runtime == "vllm":
        return replace(preset, runtime_image=image)
    if preset.access == "private" or preset.distributed or not preset.weights.repository:
        return preset
    return replace(preset, runtime="vllm", runtime_image=image, launcher=RUNTIME_LAUNCHER, published=preset)
