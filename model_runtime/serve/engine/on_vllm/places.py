"""Where vLLM keeps the functions that its own `vllm serve` calls: it moves them between versions without a word.

The first place is that of the version in the image (0.33, see requirements/gpu.txt), the second that of the newest build for CPUs (0.32),
with which the tests run.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

_ENTRYPOINTS = "vllm.entrypoints"
PLACES: dict[str, tuple[str, ...]] = {
    "cli_env_setup": ("common.startup", "serve.utils.api_utils"),
    "make_arg_parser": ("common.cli_args", "launchers.cli_args"),
    "validate_parsed_serve_args": ("common.cli_args", "launchers.cli_args"),
    "build_app": ("launchers.app",),
    "init_app_state": ("launchers.api_server.app_state",),
}
"""Function to modules below `vllm.entrypoints`."""


def from_vllm(function: str) -> Any:
    """`function`, imported from the first of its places that this vLLM has; ImportError names them when there is none."""
    places = [f"{_ENTRYPOINTS}.{place}" for place in PLACES[function]]
    here = next((place for place in places if _is_here(place)), None)
    if here is None:
        raise ImportError(f"vLLM {_version()} has {function} in none of {', '.join(places)}")
    return getattr(importlib.import_module(here), function)


def _is_here(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _version() -> str:
    return str(importlib.import_module("vllm").__version__)
