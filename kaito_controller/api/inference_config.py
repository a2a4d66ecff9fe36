"""Rules of the ConfigMap that holds a user's own engine parameters; admission cannot see it, so the controller applies them.

Its key and form are KAITO's (`inference_config.yaml`, section `vllm`), and a name may be written with dashes or underscores. Everything
wrong is reported at once, each with its path, up to fifty. What the engine decides for itself is passed on;
what the operator decides is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from kaito_controller.api.config_section import read_section
from kaito_controller.api.violation import Violation, quote
from kaito_controller.catalog.engine_options import load_engine_options
from kaito_controller.catalog.sizing.engine import SIZED, EngineSettingError, EngineSettings, read_engine_settings

KEY = "inference_config.yaml"
SECTION = "vllm"
UNUSED = ("max_probe_steps", "kv_cache_cpu_memory_utilization")
"""Keys of KAITO's start-up script; they are no engine options, and there is nothing here that they could change."""
_MAX_VALUE = 4096
_MOST_TOLD = 50
"""Problems that are looked for. Each unknown name is compared with all options, which takes 2 ms, and thousands fit into a ConfigMap."""
_MANAGED: Mapping[str, str] = {
    **dict.fromkeys(("model", "tokenizer", "revision", "download-dir"), "follows from the preset; remove it"),
    **dict.fromkeys(("served-model-name",), "is the name of the preset; remove it"),
    **dict.fromkeys(("host", "port", "uds", "root-path", "grpc-port"), "follows from the Service; remove it"),
    **dict.fromkeys(("nnodes", "node-rank", "master-addr", "master-port"), "is set for each pod; use resource.count"),
    **dict.fromkeys(("lora-modules",), "follows from inference.adapters; list the adapters there"),
    **dict.fromkeys(("hf-token", "api-key"), "is a secret, and a ConfigMap is none; remove it"),
}
"""Options that the operator sets, and what to do instead."""


def read_inference_config(data: Mapping[str, str] | None) -> tuple[EngineSettings, list[Violation]]:
    """The settings in `data` (of the ConfigMap), and everything that is wrong with them."""
    section, violations = _section(data)
    violations += islice(_checked(section), _MOST_TOLD)
    if violations:
        return EngineSettings(), violations
    try:
        return read_engine_settings({name: _plain(value) for name, value in section.items()}), []
    except EngineSettingError as error:
        field, _, message = str(error).partition(": ")
        return EngineSettings(), [Violation(_path(field), message)]


def _path(*parts: str) -> str:
    return ".".join((f"data[{KEY}]", *parts))


def _section(data: Mapping[str, str] | None) -> tuple[dict[str, Any], list[Violation]]:
    """The map under `vllm`, or what keeps it from being read."""
    wanted = "a map of engine options, such as `max-model-len: 8192`"
    document, section, violations = read_section(data, KEY, SECTION, wanted=wanted)
    unknown = [name for name in document if name not in (SECTION, *UNUSED)]
    told = unknown[:_MOST_TOLD]
    violations += [Violation(_path(), f"has the unknown section {quote(name)}; use {SECTION}") for name in told]
    return section, violations


def _checked(section: Mapping[Any, Any]) -> Iterator[Violation]:
    options = load_engine_options()
    for written, value in section.items():
        name, path = str(written).lstrip("-").replace("_", "-"), _path(SECTION, str(written))
        if name in _MANAGED:
            yield Violation(path, _MANAGED[name])
        elif not options.has(name):
            near = options.nearest(name)
            meant = f"; did you mean {near}?" if near else "; remove it"
            yield Violation(path, f"is no option of vLLM {options.version}{meant}")
        elif isinstance(value, str) and (not value.isprintable() or len(value) > _MAX_VALUE):
            yield Violation(path, f"must be one printable line of at most {_MAX_VALUE} characters")
        elif (name not in SIZED or options.has_words(name)) and (wanted := options.takes(name, value)):
            yield Violation(path, f"{quote(value)} must be {wanted}")


def _plain(value: Any) -> Any:
    """Maps and lists as JSON, which is how the engine takes them in one argument."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")) if isinstance(value, dict | list) else value
