"""Does an adapter fit a model? Told from the adapter's file header and the model's layers, before anything is loaded."""

from __future__ import annotations

import re
from typing import Any

from model_runtime.adapters.found import Adapter
from model_runtime.contract import ADAPTER_FILES
from model_runtime.errors import UserError

_KEY = re.compile(r"^base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])(\.[^.]+)?\.weight$")


def check(adapter: Adapter, model: Any) -> None:
    """Raises UserError when the adapter changes layers that the model does not have, or has in another size."""
    from safetensors import safe_open

    layers = {name: module for name, module in model.named_modules() if hasattr(module, "weight")}
    with safe_open(adapter.folder / ADAPTER_FILES[1], framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - no mapping: the file object has no iterator
            found = _KEY.match(key)
            if found:
                _check_layer(adapter, layers, found["layer"], found["side"], tuple(file.get_slice(key).get_shape()))


def _check_layer(adapter: Adapter, layers: dict[str, Any], name: str, side: str, shape: tuple[int, ...]) -> None:
    made_for = f", made for {adapter.base}," if adapter.base else ""
    cure = "use an adapter that was trained on this model"
    layer = layers.get(name)
    if layer is None:
        raise UserError(
            f"adapter {adapter.name}", name, f"is no layer of this model; the adapter{made_for} does not fit", cure
        )
    width = _width(layer, side)
    theirs = shape[1] if side == "A" else shape[0]
    if width is not None and width != theirs:
        problem = f"has width {width} here and {theirs} in the adapter, which{made_for} does not fit"
        raise UserError(f"adapter {adapter.name}", name, problem, cure)


def _width(layer: Any, side: str) -> int | None:
    """Inputs for side A, outputs for side B; None for layers that do not say."""
    return getattr(layer, "in_features" if side == "A" else "out_features", None)
