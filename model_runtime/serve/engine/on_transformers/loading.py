"""From a folder to a model and its tokenizer, with sentences for what is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_runtime.errors import UserError
from model_runtime.serve.settings import ServeSettings

FALLBACK_CONTEXT = 2048
"""For configurations that do not say how long their positions reach."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory."""

    model: Any
    tokenizer: Any
    end_tokens: list[int]
    context: int
    """Longest sequence in tokens that the model was made for."""

    @property
    def pad_token(self) -> int | None:
        """Fills shorter rows; the end token where the tokenizer has none."""
        own = self.tokenizer.pad_token_id
        return own if own is not None else (self.end_tokens[0] if self.end_tokens else None)


def check_folder(folder: Path) -> None:
    """A folder of weights holds a configuration and all files that its index names; UserError otherwise."""
    where = "--weights"
    if not (folder / "config.json").is_file():
        raise UserError(where, folder, "holds no config.json", "name a folder with a model, mounted or in the image")
    missing = [name for name in _weight_files(folder) if not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise UserError(where, folder, f"lacks {shown}", "copy the files, or let the model be downloaded again")


def _weight_files(folder: Path) -> list[str]:
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (folder / index).is_file():
            return sorted(set(json.loads((folder / index).read_text())["weight_map"].values()))
    there = [path.name for pattern in ("*.safetensors", "*.bin", "*.gguf") for path in folder.glob(pattern)]
    return there or ["model.safetensors"]


def load(folder: Path, settings: ServeSettings) -> Loaded:
    """Loads weights and tokenizer, from files only."""
    from transformers import AutoTokenizer

    check_folder(folder)
    trust = settings.trust_remote_code
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust)
    except (OSError, ValueError) as error:
        raise UserError(
            "--weights", folder, f"holds no tokenizer ({_first_line(error)})", "add tokenizer.json"
        ) from error
    tokenizer.chat_template = _chat_template(settings, tokenizer)
    if tokenizer.chat_template is None and settings.pipeline == "conversational":
        cure = "name one with --chat-template, or use --pipeline=text-generation"
        raise UserError("--pipeline", settings.pipeline, "the tokenizer has no chat template", cure)
    model = _model(folder, settings)
    return Loaded(model, tokenizer, _end_tokens(model, tokenizer), _context(model))


def _model(folder: Path, settings: ServeSettings) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=_dtype(settings.dtype),
            local_files_only=True,
            trust_remote_code=settings.trust_remote_code,
            device_map={"": device} if device == "cuda" else None,
        )
    except (OSError, ValueError, KeyError) as error:
        cure = "use a folder with a causal language model; a model with code of its own needs --trust-remote-code"
        raise UserError("--weights", folder, f"cannot be loaded ({_first_line(error)})", cure) from error
    return model.eval()


def _dtype(name: str) -> Any:
    import torch

    if name == "auto":
        return "auto"
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise UserError("--dtype", name, "is no data type", "use auto, float32, float16 or bfloat16")
    return found


def _chat_template(settings: ServeSettings, tokenizer: Any) -> str | None:
    if settings.chat_template is None:
        return tokenizer.chat_template  # type: ignore[no-any-return]
    try:
        return settings.chat_template.read_text()
    except OSError as error:
        raise UserError(
            "--chat-template", settings.chat_template, f"cannot be read ({error})", "name a file"
        ) from error


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return sorted({int(token) for token in [*listed, tokenizer.eos_token_id] if token is not None})


def _context(model: Any) -> int:
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        if getattr(config, name, None):
            return int(getattr(config, name))
    return FALLBACK_CONTEXT


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
