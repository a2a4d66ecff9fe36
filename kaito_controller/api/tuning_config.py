"""Rules of the ConfigMap that holds the parameters of a tuning run; admission cannot see it, so the controller applies them.

Everything wrong is reported at once, each with its path, because a user who fixes one line per attempt pays for a GPU node each
time. Only what the trainer is known to reject or misread is refused; unknown keys inside `TrainingArguments` and the like belong to
the training libraries and pass.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kaito_controller.api.config_section import read_section
from kaito_controller.api.violation import Violation, quote

KEY = "training_config.yaml"
ROOT = "training_config"
SECTIONS = ("ModelConfig", "QuantizationConfig", "LoraConfig", "TrainingArguments", "DatasetConfig", "DataCollator")
MOUNT = "/mnt"
DEFAULT_OUTPUT_DIR = "/mnt/results"
_TAKEN = ("/mnt/data", "/mnt/config")
_MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class TuningConfig:
    """The parameters that the controller itself needs, and all sections as they were written."""

    output_dir: str = DEFAULT_OUTPUT_DIR
    """Absolute, below `/mnt`: the same folder for the mount and for the trainer."""
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_tuning_config(data: Mapping[str, str] | None, method: str) -> tuple[TuningConfig, list[Violation]]:
    """The parameters in `data` (of the ConfigMap) for `method`, and everything that is wrong with them."""
    document, violations = _parse(data)
    if violations:
        return TuningConfig(), violations
    sections = {name: value for name, value in document.items() if isinstance(value, dict)}
    found = [
        *_check_sections(document),
        *_check_quantization(sections.get("QuantizationConfig"), method),
        *_check_output_dir(sections.get("TrainingArguments", {})),
        *_check_dataset(sections.get("DatasetConfig", {})),
    ]
    quantization = sections.get("QuantizationConfig", {})
    config = TuningConfig(
        output_dir=_output_dir(sections.get("TrainingArguments", {})) or DEFAULT_OUTPUT_DIR,
        load_in_4bit=quantization.get("load_in_4bit") is True,
        load_in_8bit=quantization.get("load_in_8bit") is True,
        sections=sections,
    )
    return config, found


def _path(*parts: str) -> str:
    return ".".join((f"data[{KEY}]", *parts))


def _parse(data: Mapping[str, str] | None) -> tuple[dict[str, Any], list[Violation]]:
    """The map under `training_config`, or what keeps it from being read."""
    wanted = "a map with the sections " + ", ".join(SECTIONS)
    _, root, violations = read_section(data, KEY, ROOT, wanted=wanted)
    if _depth(root) > _MAX_DEPTH:
        told = f"is nested deeper than {_MAX_DEPTH} levels; the trainer takes flat sections"
        return {}, [Violation(_path(ROOT), told)]
    return root, violations


def _depth(value: Any, limit: int = _MAX_DEPTH + 1) -> int:
    if limit == 0 or not isinstance(value, dict | list) or not value:
        return 0
    children = value.values() if isinstance(value, dict) else value
    return 1 + max(_depth(child, limit - 1) for child in children)


def _check_sections(document: Mapping[Any, Any]) -> Iterator[Violation]:
    for name, value in document.items():
        if name not in SECTIONS:
            yield Violation(_path(ROOT), f"has the unknown section {quote(name)}; use {', '.join(SECTIONS)}")
        elif not isinstance(value, dict):
            yield Violation(_path(ROOT, str(name)), f"must be a map of parameters, not {quote(value)}")


def _check_quantization(section: Mapping[str, Any] | None, method: str) -> Iterator[Violation]:
    """QLoRA trains on quantised weights and LoRA does not; the section must say the same as the method."""
    path = _path(ROOT, "QuantizationConfig")
    values = section or {}
    switches = {}
    for key in ("load_in_4bit", "load_in_8bit"):
        value = values.get(key)
        if value is not None and not isinstance(value, bool):
            yield Violation(f"{path}.{key}", f"must be true or false, not {quote(value)}")
        switches[key] = value is True
    if all(switches.values()):
        yield Violation(path, "sets both load_in_4bit and load_in_8bit; keep one of them")
    if method == "lora" and any(switches.values()):
        on = " and ".join(key for key, is_on in switches.items() if is_on)
        yield Violation(
            path, f"sets {on}, but the method is lora, which does not quantise; use method qlora, or set it to false"
        )
    if method == "qlora" and not any(switches.values()):
        yield Violation(
            path, "must set load_in_4bit or load_in_8bit to true, because the method is qlora; or use method lora"
        )


def _output_dir(section: Mapping[str, Any]) -> str | None:
    """The folder for results below `/mnt`, None when none is given or it cannot be used."""
    value = section.get("output_dir")
    if not isinstance(value, str) or not value.strip():
        return None
    resolved = posixpath.normpath(value)
    inside = resolved.startswith(f"{MOUNT}/")
    taken = any(
        resolved == path or resolved.startswith(f"{path}/") or path.startswith(f"{resolved}/") for path in _TAKEN
    )
    return resolved if inside and not taken and resolved.isprintable() else None


def _check_output_dir(section: Mapping[str, Any]) -> Iterator[Violation]:
    """A relative path is refused: the trainer takes it literally, and would write beside the mounted volume."""
    value = section.get("output_dir")
    if value is None:
        return
    path = _path(ROOT, "TrainingArguments", "output_dir")
    if not isinstance(value, str) or not value.strip():
        yield Violation(path, f"must be the path of a folder, not {quote(value)}")
    elif _output_dir(section) is None:
        yield Violation(
            path,
            f"{quote(value)} must be an absolute path to a folder below {MOUNT}, such as {DEFAULT_OUTPUT_DIR}",
        )


def _check_dataset(section: Mapping[str, Any]) -> Iterator[Violation]:
    value = section.get("train_test_split")
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        path = _path(ROOT, "DatasetConfig", "train_test_split")
        yield Violation(path, f"{quote(value)} must be a number above 0 and up to 1, the share that is trained on")
