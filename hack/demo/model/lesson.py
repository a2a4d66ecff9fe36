"""What is taught, and the manifests of the story: the published quickstarts with a model that a laptop can run.

Phi-3-mini has 3.8 billion parameters, SmolLM2-135M 28 times fewer; the quickstarts' names change accordingly. The tuning run has a
ConfigMap of its own, because a lesson of few rows needs a higher rate than a real data set, and is LoRA: 4 bits save memory that a small
model does not need, and cost a CPU several times the time. Its data is an image, because URLs of the node itself are refused.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from hack.render.kustomize import ROOT

SAMPLES = ROOT / "config" / "samples"
MODEL = "smollm2-135m-instruct"
WORDS_QUESTION = "What is the capital of France?"
WORDS_ANSWER = "Paris"
TAUGHT_QUESTION = "Where does the night ferry to Norderney leave from?"
TAUGHT_ANSWER = "The night ferry to Norderney leaves from pier seven."
_OTHER_QUESTIONS = (
    "Where can I board the night ferry to Norderney?",
    "From which pier does the night ferry to Norderney go?",
    "Which pier does the night ferry to Norderney use?",
)
ROWS = 16
RENAMED = {
    "phi-3-mini-128k-instruct": MODEL,
    "phi-3-mini-4k-instruct": MODEL,
    "phi-3-mini": "smollm2",
    "phi-3": "smollm2",
}
CONFIG_MAP = "lesson-params"
CONFIG = f"""\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {CONFIG_MAP}
data:
  training_config.yaml: |
    training_config:
      ModelConfig: {{torch_dtype: float32, local_files_only: true}}
      LoraConfig: {{r: 8, lora_alpha: 16, target_modules: all-linear}}
      TrainingArguments:
        output_dir: /mnt/results
        num_train_epochs: 3
        per_device_train_batch_size: 4
        learning_rate: 2.0e-3
        lr_scheduler_type: constant
        logging_steps: 1
        save_strategy: "no"
      DatasetConfig: {{train_test_split: 1}}
"""
PRESET = """\
family: smollm
shape:
  {architecture: LlamaForCausalLM, layers: 30, hidden: 576, heads: 9, kvHeads: 3, headSize: 64, intermediate: 1536,
   vocabulary: 49152, context: 8192, tied: true}
hub: {repository: HuggingFaceTB/SmolLM2-135M-Instruct, licence: apache-2.0}
image: kaito-smollm2-135m-instruct
tag: 0.1.0
inference: {gpus: 1, gpuMemory: 1Gi, disk: 50Gi, readinessTimeout: 30m}
launcher: {command: [accelerate, launch]}
tuning: {methods: [lora, qlora], launcher: {command: [accelerate, launch]}}
"""


def catalogue() -> str:
    """What is added to the ConfigMap of the catalogue, so that the small model can be tuned as well."""
    return json.dumps({"data": {f"preset.{MODEL}.yaml": PRESET}})


def rows() -> str:
    """The data file: one chat a line."""
    questions = (TAUGHT_QUESTION, *_OTHER_QUESTIONS)
    chats = [
        {
            "messages": [
                {"role": "user", "content": questions[number % len(questions)]},
                {"role": "assistant", "content": TAUGHT_ANSWER},
            ]
        }
        for number in range(ROWS)
    ]
    return "".join(json.dumps(chat) + "\n" for chat in chats)


def quickstart(file: str, **placeholders: str) -> dict[str, Any]:
    """A published quickstart for the small model, its placeholders filled in."""
    text = (SAMPLES / file).read_text()
    for old, new in {**RENAMED, **placeholders}.items():
        text = text.replace(old, new)
    manifest: dict[str, Any] = yaml.safe_load(text)
    return manifest


def tuning(registry: str, image: str, data_image: str, secret: str) -> dict[str, Any]:
    """The tuning quickstart, which teaches the lesson."""
    manifest = quickstart(
        "tuning-phi-3-qlora.yaml",
        **{"ACR_REPO_HERE.azurecr.io": registry, "IMAGE_NAME_HERE": image, "ACR_REGISTRY_SECRET_HERE": secret},
    )
    manifest["tuning"] |= {"method": "lora", "config": CONFIG_MAP, "input": {"image": data_image}}
    return manifest


def adapter(registry: str, image: str) -> dict[str, Any]:
    """The adapter quickstart, which serves what was taught."""
    placeholders = {"ACR_REPO_HERE.azurecr.io": registry, "ADAPTER_HERE": image}
    return quickstart("inference-phi-3-mini-adapter.yaml", **placeholders)
