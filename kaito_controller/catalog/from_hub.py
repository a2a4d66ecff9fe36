"""An entry of the catalogue from a model's own two files: `config.json` and `model.safetensors.index.json`. Offline and pure.

The files are small and are read, never run; no weights are downloaded. What `config.json` does not say is not guessed: an
architecture that the engine does not know, and a field that is missing, are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KNOWN_ARCHITECTURES = frozenset(
    {
        "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "FalconForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM",
        "Gemma3ForConditionalGeneration", "GlmForCausalLM", "GptOssForCausalLM", "GraniteForCausalLM", "LlamaForCausalLM",
        "MiniMaxM2ForCausalLM", "Mistral3ForConditionalGeneration", "MistralForCausalLM", "MixtralForCausalLM",
        "Olmo2ForCausalLM", "PhiForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
        "Qwen3MoeForCausalLM", "SmolLM3ForCausalLM", "StableLmForCausalLM", "Starcoder2ForCausalLM",
    }
)  # fmt: skip
"""Architectures whose memory this module can read from the configuration, all of which vLLM serves."""
_MODEL_OWN_BIAS = ("Qwen2ForCausalLM",)
_MODEL_OWN_QK_NORM = ("Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration")
_FOUR_NORMS = ("Gemma2ForCausalLM", "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration")
_TIED_BY_DEFAULT = _FOUR_NORMS
_TWO_MATRICES = ("FalconForCausalLM", "PhiForCausalLM", "Starcoder2ForCausalLM")


class UnreadableModelError(ValueError):
    """The files cannot become an entry. The message names file, field and cure."""


def entry_from_hub(
    repository: str, config: Mapping[str, Any], index: Mapping[str, Any] | None, *, revision: str = "main"
) -> dict[str, Any]:
    """The entry of `repository` as the data files write it. `index`: None for a model of one file, whose bytes follow from its shape."""
    architecture = _architecture(config)
    text = {**config, **(config.get("text_config") or {})}
    shape: dict[str, Any] = {
        "architecture": architecture,
        "layers": _whole(text, "num_hidden_layers"),
        "hidden": _whole(text, "hidden_size"),
        "heads": _whole(text, "num_attention_heads"),
        **_attention(text),
        **_feed_forward(text),
        "vocabulary": _whole(text, "vocab_size"),
        "context": _whole(text, "max_position_embeddings"),
        **_traits(architecture, config, text),
        **_weights(config, index),
    }
    hub: dict[str, Any] = {"repository": repository}
    if revision != "main":
        hub["revision"] = revision
    return {
        "name": preset_name(repository),
        "family": str(text.get("model_type") or "other"),
        "runtime": "vllm",
        "source": f"config.json of {repository} at {revision}",
        "hub": hub,
        "shape": shape,
    }


def preset_name(repository: str) -> str:
    """`qwen3-8b` for `Qwen/Qwen3-8B`."""
    name = repository.rpartition("/")[2].lower().replace("_", "-")
    return name.strip(".-")[:63]


def _architecture(config: Mapping[str, Any]) -> str:
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if architecture in KNOWN_ARCHITECTURES:
        return architecture
    known = ", ".join(sorted(KNOWN_ARCHITECTURES))
    raise UnreadableModelError(
        f'config.json: architectures: "{architecture or named}" is not known here; known are {known}. '
        "Write the entry by hand where you know how its layers keep their cache"
    )


def _attention(text: Mapping[str, Any]) -> dict[str, Any]:
    rank = text.get("kv_lora_rank")
    if rank:
        rope = _whole(text, "qk_rope_head_dim")
        return {"latentSize": int(rank) + rope, "queryHeadSize": _whole(text, "qk_nope_head_dim") + rope}
    heads = _whole(text, "num_attention_heads")
    size = text.get("head_dim") or _whole(text, "hidden_size") // heads
    return {"kvHeads": _kv_heads(text, heads), "headSize": int(size), **_sliding(text)}


def _kv_heads(text: Mapping[str, Any], heads: int) -> int:
    """Falcon says `multi_query` for one head, unless it has the newer decoder with heads of its own."""
    if text.get("multi_query") and not text.get("new_decoder_architecture"):
        return 1
    return int(text.get("num_key_value_heads") or text.get("num_kv_heads") or heads)


def _sliding(text: Mapping[str, Any]) -> dict[str, Any]:
    """Layers with a window: listed by `layer_types`, or every layer but each n-th (`sliding_window_pattern`)."""
    window, layers = text.get("sliding_window"), _whole(text, "num_hidden_layers")
    types = text.get("layer_types")
    if isinstance(types, list):
        odd = sorted({str(kind) for kind in types} - {"full_attention", "sliding_attention"})
        if odd:
            raise UnreadableModelError(
                f"config.json: layer_types: {', '.join(odd)} keep a state that the file does not state"
            )
        count = types.count("sliding_attention")
    elif text.get("sliding_window_pattern"):
        count = layers - layers // int(text["sliding_window_pattern"])
    else:
        count = 0
    return {"sliding": {"layers": count, "window": int(window)}} if count and window else {}


def _feed_forward(text: Mapping[str, Any]) -> dict[str, Any]:
    count = text.get("num_local_experts") or text.get("num_experts") or text.get("n_routed_experts")
    inner = text.get("intermediate_size") or text.get("ffn_hidden_size")
    if not count:
        if not inner and text.get("model_type") == "falcon":
            inner = 4 * _whole(text, "hidden_size")
        return {"intermediate": int(inner or _whole(text, "intermediate_size"))}
    expert = int(text.get("moe_intermediate_size") or _whole(text, "intermediate_size"))
    experts: dict[str, Any] = {
        "count": int(count),
        "perToken": int(text.get("num_experts_per_tok") or _whole(text, "experts_per_token")),
        "intermediate": expert,
    }
    if text.get("n_shared_experts"):
        experts["sharedIntermediate"] = expert * int(text["n_shared_experts"])
    dense = int(text.get("first_k_dense_replace") or 0)
    if dense:
        experts["layers"] = _whole(text, "num_hidden_layers") - dense
    return {"experts": experts, **({"intermediate": _whole(text, "intermediate_size")} if dense else {})}


def _traits(architecture: str, config: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", architecture in _TIED_BY_DEFAULT))
    dtype = str(text.get("dtype") or text.get("torch_dtype") or config.get("torch_dtype") or "bfloat16")
    quantization = str((config.get("quantization_config") or {}).get("quant_method") or "")
    traits = {
        "tied": bool(tied),
        "qkvBias": architecture in _MODEL_OWN_BIAS or bool(text.get("attention_bias")),
        "qkNorm": architecture in _MODEL_OWN_QK_NORM,
    }
    return {
        **{name: True for name, on in traits.items() if on},
        **({"norms": 4} if architecture in _FOUR_NORMS else {}),
        **({"mlpMatrices": 2} if architecture in _TWO_MATRICES else {}),
        **({"dtype": dtype} if dtype in ("float16", "float32") else {}),
        **({"quantization": quantization} if quantization else {}),
    }


def _weights(config: Mapping[str, Any], index: Mapping[str, Any] | None) -> dict[str, Any]:
    if index is not None:
        total = (index.get("metadata") or {}).get("total_size")
        if not isinstance(total, int | float) or total <= 0:
            raise UnreadableModelError(
                "model.safetensors.index.json: metadata.total_size is missing; take the file from the hub"
            )
        return {"weightBytes": int(total)}
    if config.get("quantization_config") or config.get("kv_lora_rank"):
        raise UnreadableModelError(
            "--index is missing; the bytes of quantised and latent models do not follow from config.json"
        )
    return {}


def _whole(config: Mapping[str, Any], field: str) -> int:
    value = config.get(field)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UnreadableModelError(
            f"config.json: {field}: {value!r} is no number above 0; take the file from the model's repository"
        )
    return value
