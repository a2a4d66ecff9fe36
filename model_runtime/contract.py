"""The container contract as this image states it: ports, paths, mounts, file and variable names.

Plain data without an import, so that a test can compare it with what the operators state without installing an engine. The values are
those of KAITO 0.3 (its model servers and its trainer), with the additions of later versions where both can hold.
"""

from __future__ import annotations

PORT = 5000
"""Where the model server and the trainer's metrics listen; LOCAL_RANK is added to it."""
HEALTH_PATHS = ("/health", "/healthz")
"""200 exactly when the model can generate; `/healthz` is KAITO 0.3, `/health` KAITO 0.4 and later."""
METRICS_PATH = "/metrics"
PROGRESS_PATH = "/progress"
"""Of the trainer: how far it is, as JSON."""
CHAT_PATH = "/chat"
"""The route of KAITO 0.3: `prompt` or `messages` in, `{"Result": text}` out."""
OPENAI_PATHS = ("/v1/models", "/v1/chat/completions", "/v1/completions")

WORKING_FOLDER = "/workspace/tfs"
"""Where the image starts; the files below are the programs that a launcher names."""
SERVER_PROGRAM = "inference_api.py"
TRAINER_PROGRAM = "fine_tuning.py"
WEIGHTS_FOLDER = "/workspace/tfs/weights"

ADAPTER_ROOT = "/mnt/adapter"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
"""What an adapter consists of, and what a training run leaves in its output folder."""
ADAPTER_IMAGE_FOLDER = "data"
"""Folder inside an adapter image that holds those files."""

TRAINING_CONFIG = "/mnt/config/training_config.yaml"
TRAINING_CONFIG_VARIABLE = "YAML_FILE_PATH"
TRAINING_CONFIG_ROOT = "training_config"
TRAINING_SECTIONS = (
    "ModelConfig",
    "QuantizationConfig",
    "LoraConfig",
    "TrainingArguments",
    "DatasetConfig",
    "DataCollator",
)
DATA_FOLDER = "/mnt/data"
DATA_FOLDER_VARIABLE = "DATASET_FOLDER_PATH"
DEFAULT_OUTPUT_FOLDER = "/mnt/output"
TARGET_MODULES_VARIABLE = "DEFAULT_TARGET_MODULES"
COMPLETION_FILE = "fine_tuning_completed.txt"

TERMINATION_LOG = "/dev/termination-log"
"""Kubernetes shows what is written there when the container has ended."""
