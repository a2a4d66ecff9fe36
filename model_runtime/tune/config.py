"""The training configuration: what may stand in `training_config.yaml`, and the values where it says nothing.

Six sections, as KAITO 0.3 has them. A missing section is all defaults; an unknown section or key is an error that names it, because a
setting that is silently ignored is found out only after hours of GPU time. `LoraConfig` and `TrainingArguments` are PEFT's and TRL's own
classes, checked key by key against the installed versions, so every setting of theirs works and none has to be repeated here.

Nothing here opens data or weights.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, create_model

from model_runtime import contract
from model_runtime.errors import UserError

Precision = Literal["auto", "bfloat16", "float16", "float32"]


class Section(BaseModel):
    """A section whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), frozen=True)


class ModelSection(Section):
    """`ModelConfig`: which weights are loaded, and how."""

    pretrained_model_name_or_path: str = contract.WEIGHTS_FOLDER
    revision: str = "main"
    local_files_only: bool = True
    trust_remote_code: bool = False
    torch_dtype: Precision = Field("auto", validation_alias=AliasChoices("torch_dtype", "dtype"))
    device_map: str | dict[str, Any] | None = "auto"
    """Used by a single process; with several, each loads the whole model onto its own GPU."""
    attn_implementation: str | None = None
    chat_template: str | None = None
    """A Jinja template, or a file that holds one; for weights whose tokenizer brings none."""
    cache_dir: str | None = None


class QuantizationSection(Section):
    """`QuantizationConfig`: bitsandbytes. With 4 bits the defaults are those of the QLoRA paper."""

    quant_method: Literal["bitsandbytes"] = "bitsandbytes"
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    bnb_4bit_use_double_quant: bool = True
    bnb_4bit_compute_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    bnb_4bit_quant_storage: str | None = None
    llm_int8_threshold: float = 6.0
    llm_int8_skip_modules: list[str] | None = None
    llm_int8_enable_fp32_cpu_offload: bool = False
    llm_int8_has_fp16_weight: bool = False

    @property
    def bits(self) -> int:
        """4, 8, or 16 for weights that are not quantised."""
        return 4 if self.load_in_4bit else 8 if self.load_in_8bit else 16


class DatasetSection(Section):
    """`DatasetConfig`: which file, in which order, and how much of it is trained on."""

    dataset_path: str | None = None
    """Below `/mnt`; otherwise the first file of the data folder whose name tells its kind."""
    dataset_extension: Literal["csv", "json", "jsonl", "parquet", "arrow", "webdataset"] | None = None
    shuffle_dataset: bool = True
    shuffle_seed: int = 42
    train_test_split: float = Field(0.8, gt=0, le=1)
    """The share that is trained on; the rest gives the evaluation loss."""
    context_column: str | None = None
    response_column: str | None = None
    messages_column: str | None = None


class CollatorSection(Section):
    """`DataCollator`. The models are causal, so there is no masked training: `mlm` is accepted and off."""

    mlm: bool = False
    mlm_probability: float | None = None
    pad_to_multiple_of: int | None = None


OUR_TRAINING_DEFAULTS: Mapping[str, Any] = {
    "output_dir": contract.DEFAULT_OUTPUT_FOLDER,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "learning_rate": 2e-4,
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "logging_nan_inf_filter": False,
    "report_to": "none",
}
"""Where a missing key means something else than TRL's default. The rate is the QLoRA paper's; adapters learn little at TRL's 2e-5."""


@dataclass(frozen=True)
class TrainingConfig:
    """The whole configuration, checked. `lora` and `training` hold only what was written or differs from the libraries' defaults."""

    model: ModelSection
    quantization: QuantizationSection
    lora: Mapping[str, Any]
    training: Mapping[str, Any]
    dataset: DatasetSection
    collator: CollatorSection

    @property
    def output(self) -> Path:
        """The folder that results and checkpoints go to."""
        return Path(self.training["output_dir"])

    def as_written(self) -> dict[str, Any]:
        """All six sections, for the model card and for telling one run from another."""
        sections = (self.model, self.quantization, self.lora, self.training, self.dataset, self.collator)
        plain = [dict(s) if isinstance(s, Mapping) else s.model_dump() for s in sections]
        return dict(zip(contract.TRAINING_SECTIONS, plain, strict=True))


def config_path(environment: Mapping[str, str]) -> Path:
    """`YAML_FILE_PATH`, else where the configuration is mounted."""
    return Path(environment.get(contract.TRAINING_CONFIG_VARIABLE) or contract.TRAINING_CONFIG)


def read_config(path: Path, environment: Mapping[str, str] = os.environ) -> TrainingConfig:
    """The configuration in the file `path`. Raises UserError with everything that is wrong with it."""
    return parse_config(_sections(path), environment)


def parse_config(sections: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> TrainingConfig:
    """The configuration of these sections. `DEFAULT_TARGET_MODULES` stands in for missing `target_modules`."""
    problems = [
        f"has the unknown section {name}{_nearest(str(name), contract.TRAINING_SECTIONS)}"
        for name in sections
        if name not in contract.TRAINING_SECTIONS
    ]
    models: tuple[type[Section], ...] = (
        ModelSection,
        QuantizationSection,
        _lora(),
        _training(),
        DatasetSection,
        CollatorSection,
    )
    read = {
        name: _section(name, model, sections.get(name), problems)
        for name, model in zip(contract.TRAINING_SECTIONS, models, strict=True)
    }
    quantization = read["QuantizationConfig"]
    if quantization is not None and quantization.load_in_4bit and quantization.load_in_8bit:
        problems.append("QuantizationConfig sets both load_in_4bit and load_in_8bit; keep one")
    if problems:
        raise UserError(contract.TRAINING_CONFIG_ROOT, None, "; ".join(problems), "correct the training configuration")
    return TrainingConfig(
        model=read["ModelConfig"],
        quantization=quantization,
        lora=_target_modules(environment) | _set(read["LoraConfig"]),
        training={**OUR_TRAINING_DEFAULTS, **_set(read["TrainingArguments"])},
        dataset=read["DatasetConfig"],
        collator=read["DataCollator"],
    )


def _set(section: Section) -> dict[str, Any]:
    """What was written, without nulls: a null means the default."""
    return {key: value for key, value in section.model_dump(exclude_unset=True).items() if value is not None}


def _sections(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        cure = f"mount the file, or name another in {contract.TRAINING_CONFIG_VARIABLE}"
        raise UserError("training configuration", path, f"cannot be read ({error.strerror})", cure) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise UserError("training configuration", path, f"is no YAML ({said})", "correct that line") from error
    root = document.get(contract.TRAINING_CONFIG_ROOT) if isinstance(document, dict) else None
    if not isinstance(root, dict):
        cure = f"put the sections {', '.join(contract.TRAINING_SECTIONS)} below it"
        raise UserError("training configuration", path, f"has no map {contract.TRAINING_CONFIG_ROOT}", cure)
    return root


def _target_modules(environment: Mapping[str, str]) -> dict[str, Any]:
    named = [name.strip() for name in environment.get(contract.TARGET_MODULES_VARIABLE, "").split(",") if name.strip()]
    return {"target_modules": named} if named else {}


def _section(name: str, model: type[Section], written: Any, problems: list[str]) -> Any:
    """The section, None when `problems` says why not."""
    if written is not None and not isinstance(written, dict):
        problems.append(f"{name} is {written!r}, not a map of settings")
        return None
    try:
        return model.model_validate(written or {})
    except ValidationError as error:
        problems.extend(_sentence(name, model, detail) for detail in _distinct(error))
        return None


def _distinct(error: ValidationError) -> list[Any]:
    """One complaint per key: a union of types complains once for each of them."""
    seen: dict[str, Any] = {}
    for detail in error.errors(include_url=False):
        seen.setdefault(str(detail["loc"][0]), detail)
    return list(seen.values())


def _sentence(name: str, model: type[Section], detail: Any) -> str:
    key = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        return f"{name} has the unknown key {key}{_nearest(key, model.model_fields)}"
    said = detail["msg"].removeprefix("Input should be ")
    return f"{name}.{key} is {detail['input']!r} and should be {said}"


def _nearest(word: str, known: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _lora() -> type[Section]:
    from peft import LoraConfig

    return _mirror(LoraConfig)


def _training() -> type[Section]:
    from trl import SFTConfig

    return _mirror(SFTConfig)


def _mirror(library_class: type) -> type[Section]:
    """A section with the constructor arguments of a library's dataclass, each with its type there; every default is 'not set'."""
    hints = typing.get_type_hints(library_class)
    fields: dict[str, Any] = {
        field.name: (hints[field.name] | None, None) for field in dataclasses.fields(library_class) if field.init
    }
    config = ConfigDict(extra="forbid", protected_namespaces=(), frozen=True, arbitrary_types_allowed=True)
    base = type("Mirror", (Section,), {"model_config": config})
    return create_model(library_class.__name__, __base__=base, **fields)
