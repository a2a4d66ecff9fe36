"""What the operator relies on in the programs that serve and train, as data: where they answer, how they are started, what they may do.

Builders read a preset's runtime and know no path, port or user by themselves. There are two: the images that KAITO 0.3 published, one for
each model, and the project's runtime image, which serves any model. A test compares the second with what the image itself states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

RuntimeName = Literal["image", "vllm"]
"""What starts the model: the program of the preset's own image, or the project's runtime image, whose engine is vLLM."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One kind of image: its side of the container contract."""

    name: RuntimeName
    title: str
    """For the documentation."""
    start: Literal["launcher", "flags"]
    """Arguments are a launcher, a program and its flags, or flags of the image's own program."""
    port: int
    health_path: str
    """200 exactly when the model can generate."""
    chat_path: str
    metrics_path: str
    metrics_format: Literal["json", "prometheus"]
    progress_path: str
    """Where the trainer tells how far it is, as JSON; "" when it does not."""
    run_as_user: int | None
    """UID that the image is built to run as; None for the image's own, which is root."""
    read_only_root: bool
    """It writes to its mounts and nowhere else."""
    data_images: Literal["copied", "pulled"]
    """Files of adapter and data images are copied out by the image's own `cp`, or pulled from the registry by the runtime image."""
    adapters: Literal["merged", "named"]
    """Always merged into the model, or each a model name of its own unless one has a strength other than 1.0, which merges all."""
    weights_in_image: bool


PUBLISHED = Runtime(
    name="image",
    title="published images of KAITO 0.3",
    start="launcher",
    port=5000,
    health_path="/healthz",
    chat_path="/chat",
    metrics_path="/metrics",
    metrics_format="json",
    progress_path="",
    run_as_user=None,
    read_only_root=False,
    data_images="copied",
    adapters="merged",
    weights_in_image=True,
)
MODEL_RUNTIME = Runtime(
    name="vllm",
    title="the project's runtime image",
    start="flags",
    port=5000,
    health_path="/health",
    chat_path="/v1/chat/completions",
    metrics_path="/metrics",
    metrics_format="prometheus",
    progress_path="/progress",
    run_as_user=65532,
    read_only_root=True,
    data_images="pulled",
    adapters="named",
    weights_in_image=False,
)
RUNTIMES: Mapping[RuntimeName, Runtime] = MappingProxyType({r.name: r for r in (PUBLISHED, MODEL_RUNTIME)})
