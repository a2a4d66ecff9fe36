"""A start that cannot work ends with one sentence: name, value, cure, in the log and in the termination message."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from test.model.serve.lora import with_tokenizer_stripped
from test.model.serve.running import failed_start, serving

pytestmark = pytest.mark.model


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--engine=tpu"], '--engine="tpu": '),
        (["--max-num-seqs=many"], '--max-num-seqs="many": '),
        (["--weights=/nowhere"], '--weights="/nowhere": is no folder; mount the weights there'),
        (["--config=/nowhere.yaml"], '--config="/nowhere.yaml": cannot be read'),
        (["--weights=hf://a b"], '--weights="hf://a b": is no repository of the hub; write hf://owner/name@revision.'),
        (["serve"], 'argument="serve": not a flag; write --name=value.'),
        (
            ["--engine=vllm", "--weights=/tmp"],
            '--engine="vllm": vLLM is not installed in this image; use --engine=auto',
        ),
    ],
)
def test_a_setting_that_cannot_be_used(flags: list[str], message: str, tmp_path: Path) -> None:
    assert failed_start(tmp_path, *flags).startswith(message)


def test_several_nodes_with_the_engine_that_serves_on_one(llama: Path, tmp_path: Path) -> None:
    message = failed_start(tmp_path, f"--weights={llama}", "--vllm.nnodes=2", "--vllm.master-addr=127.0.0.1")
    assert message.startswith("nnodes=2: the Transformers engine serves on one node; serve with vLLM on GPUs")


def test_a_context_that_does_not_fit(llama: Path, tmp_path: Path) -> None:
    message = failed_start(tmp_path, f"--weights={llama}", "--max-model-len=9000")
    assert message == "--max-model-len=9000: is more than the 512 tokens that the model was made for; use at most 512."


def test_a_context_that_the_cache_was_made_too_small_for(llama: Path, tmp_path: Path) -> None:
    message = failed_start(tmp_path, f"--weights={llama}", "--cache-blocks=8", "--block-tokens=4", "--max-model-len=33")
    assert message == (
        "--max-model-len=33: is more than the 32 tokens that the cache holds (--cache-blocks times --block-tokens); "
        "use at most 32."
    )


def test_a_data_type_that_is_none(llama: Path, tmp_path: Path) -> None:
    message = failed_start(tmp_path, f"--weights={llama}", "--torch_dtype=float7")
    assert message == '--dtype="float7": is no data type; use auto, float32, float16 or bfloat16.'


def test_a_missing_weight_file(llama: Path, tmp_path: Path) -> None:
    shutil.copytree(llama, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    message = failed_start(tmp_path, f"--weights={tmp_path / 'model'}")
    assert message.endswith("lacks model.safetensors; copy the files, or let the model be downloaded again.")


def test_no_chat_template_ends_a_conversational_start_and_leaves_completions_to_others(
    llama: Path, tmp_path: Path
) -> None:
    bare = with_tokenizer_stripped(llama, tmp_path / "model")
    message = failed_start(tmp_path, f"--weights={bare}", "--pipeline=conversational")
    assert message.startswith('--pipeline="conversational": the tokenizer has no chat template; ')
    with serving(tmp_path, f"--weights={bare}") as server:
        refused = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})
        assert (refused.status, "has no chat template" in refused.text) == (400, True)
        assert server.complete("The sky", max_tokens=8)
        (tmp_path / "mine.jinja").write_text((llama / "chat_template.jinja").read_text())
    with serving(tmp_path, f"--weights={bare}", f"--chat-template={tmp_path / 'mine.jinja'}") as server:
        assert (
            server.post(
                "/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
            ).status
            == 200
        )
