"""The base model: its tokenizer, its architecture without weights, and the weights themselves, in order of cost.

The first two are read in a second and are enough to judge data, adapter and memory; the weights take minutes and come last.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState, init_empty_weights
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedTokenizerBase

from model_runtime.errors import UserError
from model_runtime.tune.config import ModelSection, QuantizationSection, TrainingConfig
from model_runtime.tune.memory import ModelShape

PATH = "ModelConfig.pretrained_model_name_or_path"
WEIGHT_FILES = ("*.safetensors", "*.bin")
_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def require_weights(section: ModelSection) -> None:
    """Refuses a folder that cannot be a model, in words of its own; a name on a hub is left to the libraries."""
    name, folder = section.pretrained_model_name_or_path, Path(section.pretrained_model_name_or_path)
    if not section.local_files_only and not folder.is_absolute():
        return
    cure = "mount the weights there, or name the folder that holds them"
    if not folder.is_dir():
        raise UserError(PATH, name, "no such folder", cure)
    if not (folder / "config.json").is_file():
        raise UserError(PATH, name, "holds no config.json", cure)
    files = [path for pattern in WEIGHT_FILES for path in sorted(folder.glob(pattern))]
    if not files:
        raise UserError(PATH, name, "holds no weight files (*.safetensors)", cure)
    closed = [path.name for path in files if not os.access(path, os.R_OK)]
    if closed:
        problem = f"user {os.geteuid()} may not read {closed[0]}"
        raise UserError(PATH, name, problem, "make the files readable for every user")


def load_tokenizer(section: ModelSection, *, chat: bool) -> PreTrainedTokenizerBase:
    """The tokenizer, with its end token where it has no padding token, and a chat template where the data needs one."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(section.pretrained_model_name_or_path, **_source(section))
    except (OSError, ValueError) as error:
        cure = "put the tokenizer's files beside the weights"
        problem = f"holds no usable tokenizer ({_first_line(error)})"
        raise UserError(PATH, section.pretrained_model_name_or_path, problem, cure) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if section.chat_template:
        tokenizer.chat_template = _template(section.chat_template)
    if chat and not tokenizer.chat_template:
        cure = "name a template in ModelConfig.chat_template, or write the data as plain prompt and completion"
        problem = "its tokenizer has no chat template, and the data is chat"
        raise UserError(PATH, section.pretrained_model_name_or_path, problem, cure)
    return tokenizer


def outline(config: TrainingConfig) -> Any:
    """The model with the adapter on it, as PEFT would train it, on no device: names and shapes, no memory."""
    section = config.model
    try:
        architecture = AutoConfig.from_pretrained(section.pretrained_model_name_or_path, **_source(section))
        with init_empty_weights():
            bare = AutoModelForCausalLM.from_config(architecture, trust_remote_code=section.trust_remote_code)
            bare.tie_weights()
    except (OSError, ValueError, KeyError) as error:
        problem = f"is no causal language model that can be loaded ({_first_line(error)})"
        cure = "name a folder with one, or set ModelConfig.trust_remote_code to true if it brings its own code"
        raise UserError(PATH, section.pretrained_model_name_or_path, problem, cure) from error
    try:
        with init_empty_weights():
            return get_peft_model(bare, lora(config), low_cpu_mem_usage=True)
    except ValueError as error:
        raise _no_such_modules(bare, config, error) from error


def lora(config: TrainingConfig) -> LoraConfig:
    """PEFT's configuration; causal language modelling unless something else is written."""
    values = {"r": 8, "lora_alpha": 8, "lora_dropout": 0.0, "task_type": "CAUSAL_LM", **config.lora}
    try:
        return LoraConfig(**values)
    except (TypeError, ValueError) as error:
        raise UserError("LoraConfig", None, _first_line(error), "correct the section") from error


def shape(model: Any) -> ModelShape:
    """What the memory estimate needs to know of an outline."""
    text = model.config.get_text_config()
    modules = dict(model.named_modules())
    linear = other = trainable = 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            trainable += parameter.numel()
        elif name.endswith(".weight") and _can_be_quantised(modules[name.removesuffix(".weight")], name):
            linear += parameter.numel()
        else:
            other += parameter.numel()
    return ModelShape(
        linear=linear,
        other=other,
        trainable=trainable,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=getattr(text, "intermediate_size", None)
        or getattr(text, "ffn_hidden_size", None)
        or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
        heads=text.num_attention_heads,
        context=getattr(text, "max_position_embeddings", None),
    )


def _can_be_quantised(module: Any, name: str) -> bool:
    """bitsandbytes takes every linear layer but the output layer; Falcon's are a class of their own below `nn.Linear`."""
    return isinstance(module, torch.nn.Linear) and "lm_head" not in name


def load_model(config: TrainingConfig, dtype: torch.dtype) -> Any:
    """The weights, quantised if asked for. Several processes hold one whole copy each, on the GPU of their rank."""
    section = config.model
    arguments: dict[str, Any] = {**_source(section), "dtype": dtype, "device_map": _placement(section)}
    if section.attn_implementation:
        arguments["attn_implementation"] = section.attn_implementation
    if config.quantization.bits < 16:
        arguments["quantization_config"] = bits_and_bytes(config.quantization)
    try:
        model = AutoModelForCausalLM.from_pretrained(section.pretrained_model_name_or_path, **arguments)
    except OSError as error:
        cure = "give it the complete files of the model"
        raise UserError(PATH, section.pretrained_model_name_or_path, _first_line(error), cure) from error
    model.config.use_cache = False
    return model


def bits_and_bytes(section: QuantizationSection) -> BitsAndBytesConfig:
    """The section as the library's own configuration."""
    values = section.model_dump(exclude={"quant_method"}, exclude_none=True)
    return BitsAndBytesConfig(**values)


def precision(config: TrainingConfig, architecture: Any) -> torch.dtype:
    """The type of the weights that are not quantised: as configured, else as the checkpoint has them."""
    named = config.model.torch_dtype
    if named != "auto":
        return _TYPES[named]
    stored = getattr(architecture, "dtype", None)
    return _TYPES.get(stored, torch.float32) if isinstance(stored, str) else stored or torch.float32


def fingerprint(section: ModelSection) -> str:
    """Tells one set of weights from another without reading them: a digest of the configuration and of the files' names and sizes."""
    folder = Path(section.pretrained_model_name_or_path)
    if not folder.is_dir():
        return f"{section.pretrained_model_name_or_path}@{section.revision}"
    files = [(path.name, path.stat().st_size) for path in sorted(folder.iterdir()) if path.is_file()]
    text = json.dumps(files) + (folder / "config.json").read_text(encoding="utf-8")
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _source(section: ModelSection) -> dict[str, Any]:
    return {
        "revision": section.revision,
        "local_files_only": section.local_files_only,
        "trust_remote_code": section.trust_remote_code,
        "cache_dir": section.cache_dir,
    }


def _placement(section: ModelSection) -> str | Mapping[str, Any] | None:
    state = PartialState()
    if not torch.cuda.is_available():
        return {"": "cpu"}
    return {"": state.local_process_index} if state.num_processes > 1 else section.device_map


def _template(written: str) -> str:
    if "{" in written:
        return written
    try:
        return Path(written).read_text(encoding="utf-8")
    except OSError as error:
        cure = "name a file that is mounted, or write the template itself"
        raise UserError("ModelConfig.chat_template", written, f"cannot be read ({error.strerror})", cure) from error


def _no_such_modules(bare: Any, config: TrainingConfig, error: ValueError) -> UserError:
    linear = {name.rpartition(".")[2] for name, module in bare.named_modules() if isinstance(module, torch.nn.Linear)}
    cure = f"choose from {', '.join(sorted(linear))}, or all-linear"
    asked = config.lora.get("target_modules")
    shown = ",".join(asked) if isinstance(asked, list) else asked
    return UserError("LoraConfig.target_modules", shown, _first_line(error), cure)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(". ")
