"""The meaning of adapters in KAITO 0.3: PEFT's weighted combination, done once at the start and merged into the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_runtime.adapters.found import Adapters
from model_runtime.errors import UserError

COMBINED = "combined_adapter"


def merge(model: Any, adapters: Adapters, combination: str) -> Any:
    """`model` with all adapters at their strengths in its weights; strength 0 leaves the model as it was."""
    from peft import PeftModel

    wrapped: Any = None
    for adapter in adapters.listed:
        if wrapped is None:
            wrapped = PeftModel.from_pretrained(model, adapter.folder, adapter_name=adapter.name)
        else:
            wrapped.load_adapter(adapter.folder, adapter_name=adapter.name)
    if wrapped is None:
        return model
    _combine(wrapped, adapters, combination)
    wrapped.set_adapter(COMBINED)
    return wrapped.merge_and_unload(adapter_names=[COMBINED])


def _combine(wrapped: Any, adapters: Adapters, combination: str) -> None:
    names = [adapter.name for adapter in adapters.listed]
    more = {"density": 0.5} if combination.startswith(("ties", "dare", "magnitude")) else {}
    try:
        wrapped.add_weighted_adapter(names, adapters.strengths, COMBINED, combination_type=combination, **more)
    except ValueError as error:
        raise UserError(
            "--combination-type", combination, f"cannot combine {', '.join(names)} ({error})", "use svd"
        ) from error


def attach(model: Any, name: str, folder: Path, wrapped: Any | None) -> Any:
    """Loads one adapter beside those that are there, inactive; returns PEFT's wrapper, made with the first one."""
    from peft import PeftModel

    if wrapped is None:
        return PeftModel.from_pretrained(model, folder, adapter_name=name)
    wrapped.load_adapter(folder, adapter_name=name)
    return wrapped
