"""The server's settings: flags of ours, the flags of KAITO 0.3's presets under their old names, and `inference_config.yaml`.

A flag beats the environment (`MODEL_RUNTIME_<NAME>`), which beats the configuration file, which beats the default. Flags that nobody here
knows are reported and ignored, because published presets carry flags of programs that this one replaces; a known flag with an unusable
value is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_runtime.contract import ADAPTER_ROOT, PORT, WEIGHTS_FOLDER
from model_runtime.errors import UserError
from model_runtime.serve import nodes

CLOSING_TIMEOUT_S = 2
"""After `--drain-timeout-s`, for requests that are cut off and for connections that are open when all requests have ended."""
ENVIRONMENT_PREFIX = "MODEL_RUNTIME_"
ENGINE_PREFIX = "vllm."
"""`--vllm.<option>=<value>`: an option of vLLM that is passed on as it is; it beats the section `vllm` of the file."""
ALIASES = {
    "pretrained_model_name_or_path": "weights",
    "torch_dtype": "dtype",
    "served_model_name": "model_name",
    "kaito_config_file": "config",
    "config_file": "config",
}
"""Names that published presets and KAITO's later versions use, to ours."""

Combination = Literal[
    "svd",
    "linear",
    "cat",
    "ties",
    "ties_svd",
    "dare_ties",
    "dare_ties_svd",
    "dare_linear",
    "dare_linear_svd",
    "magnitude_prune",
    "magnitude_prune_svd",
]


class ServeSettings(BaseModel):
    """Everything that a start can vary. Sizes are in bytes, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["auto", "vllm", "transformers"] = Field(
        "auto", description="auto: vLLM on a GPU of compute capability 8.0 or newer, else Transformers."
    )
    model_name: str = Field("", description="Name in /v1/models; the weights' folder or repository when not given.")
    weights: str = Field(
        WEIGHTS_FOLDER,
        description="Folder; or hf://owner/name@revision; or oci://registry/repository@digest (or :tag).",
    )
    weights_folder: Path = Field(
        Path("/mnt/weights"), description="Where weights from the network are kept; a mount that may be written to."
    )
    allow_remote_files: bool = Field(
        False, description="KAITO 0.3: an owner/name in --weights is a repository of the hub, not a folder."
    )
    revision: str = Field("", description="Commit of the hub's repository, when --weights does not name one.")
    hf_endpoint: str = Field("https://huggingface.co", description="The hub, or a mirror of it.")
    hf_token_file: Path | None = Field(None, description="File with the hub's token.")
    adapters_folder: Path = Field(Path(ADAPTER_ROOT), description="Every folder below with an adapter is loaded.")
    combination_type: Combination = Field(
        "svd", description="How adapters with strengths are combined into one (PEFT's names)."
    )
    allow_runtime_adapters: bool = Field(
        False,
        description="Serve /v1/load_lora_adapter and /v1/unload_lora_adapter; who reaches the port can then change adapters.",
    )
    pipeline: Literal["text-generation", "conversational"] = Field(
        "text-generation", description="What /chat asks for when a request has neither prompt nor messages."
    )
    dtype: str = Field("auto", description="Data type of the weights: auto, or a name such as bfloat16.")
    trust_remote_code: bool = Field(False, description="Run code that comes with the weights.")
    chat_template: Path | None = Field(None, description="File with a chat template, for a tokenizer that has none.")
    max_model_len: int = Field(
        0, ge=0, description="Longest prompt plus answer in tokens; 0: what the model and the cache allow."
    )
    max_num_seqs: int = Field(
        0, ge=0, description="Requests generated at a time; 0: 256 with vLLM, 16 with Transformers."
    )
    max_waiting_requests: int = Field(
        64, ge=0, description="Requests that may wait; one more is refused with 429 and Retry-After."
    )
    max_body_bytes: int = Field(8 * 2**20, gt=0, description="Largest request body; a larger one is refused with 413.")
    client_timeout_s: float = Field(
        30.0, gt=0, description="A client that neither sends nor takes data for so long is dropped."
    )
    drain_timeout_s: float = Field(25.0, ge=0, description="After SIGTERM, time for running requests to end.")
    stall_timeout_s: float = Field(
        120.0, gt=0, description="Transformers: requests are running and no token came for so long: /health says 503."
    )
    cache_blocks: int = Field(
        0,
        ge=0,
        description="Transformers on a CPU: blocks of the key-value cache; 0: 64, or as many as --max-model-len takes.",
    )
    block_tokens: int = Field(32, ge=4, description="Transformers on a CPU: tokens in each block.")
    batch_tokens: int = Field(256, gt=0, description="Transformers on a CPU: tokens computed in one step.")
    gpu_memory_utilization: float = Field(
        0.0,
        ge=0,
        le=1,
        description="vLLM: share of GPU memory; 0: what is free at the start less 600 MiB, at most 0.95.",
    )
    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 - a pod's own network
    port: int = Field(PORT, ge=0, le=65535, description="Port to listen on; LOCAL_RANK is added to it.")
    config: Path | None = Field(None, description="inference_config.yaml.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum log level.")


class ParsedSettings(BaseModel):
    """Settings, what was not understood, and what is meant for vLLM alone."""

    model_config = ConfigDict(frozen=True)

    settings: ServeSettings
    ignored: tuple[str, ...] = ()
    """Flags, and keys of the configuration file, that nobody here knows, as they are told."""
    vllm: dict[str, Any] = Field(default_factory=dict)
    """Engine flags: `--vllm.<option>`, and the section `vllm` of the configuration file, which counts where no flag says otherwise."""
    helper: bool = False
    """torchrun started this process for a GPU that the first process of the node has."""


def parse(argv: Sequence[str], environment: Mapping[str, str]) -> ParsedSettings:
    """Settings of one start; UserError names the flag, its value and the cure."""
    flags = {ALIASES.get(key, key): value for key, value in _flags(argv).items()}
    known = ServeSettings.model_fields
    values = {name: environment[_variable(name)] for name in known if environment.get(_variable(name))}
    values |= {key: value for key, value in flags.items() if key in known}
    vllm, ours, unknown = _config_file(values.get("config"))
    told = _engine_flags(flags)
    vllm = {key: value for key, value in vllm.items() if str(key).replace("_", "-") not in told} | told
    vllm = nodes.from_torchrun(environment) | vllm
    settings = _validated({**ours, **values})
    rank = environment.get("LOCAL_RANK", "0")
    if settings.port and rank.isdigit():
        settings = settings.model_copy(update={"port": settings.port + int(rank)})
    strange = sorted(f"--{key}" for key in flags if key not in known and not key.startswith(ENGINE_PREFIX))
    ignored = (*strange, *(f"{key} in --config" for key in unknown))
    return ParsedSettings(settings=settings, ignored=ignored, vllm=vllm, helper=nodes.is_helper(environment))


def _engine_flags(flags: Mapping[str, str]) -> dict[str, Any]:
    """What is meant for vLLM, by its names with dashes."""
    meant = {key.removeprefix(ENGINE_PREFIX): value for key, value in flags.items() if key.startswith(ENGINE_PREFIX)}
    return {key.replace("_", "-"): _engine_value(value) for key, value in meant.items()}


def _engine_value(value: str) -> Any:
    """A bare flag is a switch, a JSON list several values; all else is vLLM's own to read."""
    if value == "true":
        return None
    return json.loads(value) if value.startswith("[") and value.endswith("]") else value


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper()


def _flags(argv: Sequence[str]) -> dict[str, str]:
    """`--key=value`, `--key value` and a bare `--key` ("true"), as the parsers of KAITO 0.3 read them."""
    found: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise UserError("argument", word, "not a flag", "write --name=value")
        key, equals, value = word[2:].partition("=")
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("--") else "true"
        found[key.replace("-", "_")] = value
    return found


def _config_file(path: str | None) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """(section vllm, our own keys, the others): KAITO's file has keys for its own start-up too."""
    if path is None:
        return {}, {}, []
    try:
        content = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(
            "--config", path, f"cannot be read ({error})", "name a YAML file that the container can read"
        ) from error
    if not isinstance(content, dict | None):
        raise UserError("--config", path, "is not a mapping", "start it with `vllm:`")
    content = content or {}
    vllm = content.get("vllm") or {}
    if not isinstance(vllm, dict):
        raise UserError(f"vllm of {path}", str(vllm), "is not a mapping", "write `flag: value` lines below it")
    ours = {key: value for key, value in content.items() if key in ServeSettings.model_fields and key != "config"}
    shared = {key: vllm[wire] for wire, key in SHARED.items() if wire in vllm}
    return vllm, shared | ours, sorted(str(key) for key in content.keys() - ours.keys() - {"vllm"})


SHARED = {"max-model-len": "max_model_len", "max-num-seqs": "max_num_seqs", "served-model-name": "model_name"}
"""Keys of the section `vllm` that the other engine has to heed too."""


def _validated(values: Mapping[str, Any]) -> ServeSettings:
    try:
        return ServeSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        cure = ServeSettings.model_fields[str(first["loc"][0])].description or ""
        raise UserError(
            f"--{name.replace('_', '-')}", str(first["input"]), first["msg"].lower(), f"it means: {cure.rstrip('.')}"
        ) from error
