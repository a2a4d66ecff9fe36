"""The training configuration as the trainer gets it: an immutable ConfigMap of our own, one per content.

The user's ConfigMap, or the default one from the operator's namespace, is only read. What is mounted is a rendering of it, for
three reasons. Its `output_dir` is exactly the folder that the results volume is mounted at, however the user wrote it. A later attempt
of the same run sees the same file, whatever was edited meanwhile. And it is owned by the Workspace, so it goes when that goes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

import yaml

from controller_runtime.resources import Object
from kaito_controller.workloads.context import WorkloadContext
from kaito_controller.workloads.metadata import object_meta
from kaito_controller.workloads.revision import digest, sealed

CONFIG_KEY = "training_config.yaml"
ROOT_KEY = "training_config"
MOUNT_ROOT = "/mnt"
DEFAULT_OUTPUT_DIR = "/mnt/output"
RESERVED = ("adapter", "config", "data")
"""Folders below /mnt that hold something else."""
SOURCE_ANNOTATION = "kaito.sh/tuning-config-source"

_SPEAKABLE = re.compile(r"[A-Za-z0-9._/ -]{1,512}")


class OutputDirError(ValueError):
    """`TrainingArguments.output_dir` cannot be used; the text says why and what to write instead."""


def resolve_output_dir(config: Mapping[str, Any]) -> str:
    """The absolute folder below /mnt where the trainer writes.

    Absent: /mnt/output. A path that does not start with /mnt is taken as below it, as published. Judged by whole path components
    after normalising, so that `../mntx` and `/mnt/../etc` are refused.
    """
    arguments = config.get("TrainingArguments")
    wanted = arguments.get("output_dir") if isinstance(arguments, Mapping) else None
    if wanted is None or wanted == "":
        return DEFAULT_OUTPUT_DIR
    if not isinstance(wanted, str) or not _SPEAKABLE.fullmatch(wanted):
        raise OutputDirError(_refusal(wanted, "it must be a path of letters, digits and . _ - / only"))
    path = wanted if wanted == MOUNT_ROOT or wanted.startswith(MOUNT_ROOT + "/") else f"{MOUNT_ROOT}/{wanted}"
    parts = posixpath.normpath("/" + path.strip("/")).split("/")[1:]
    if parts[0] != "mnt" or len(parts) < 2:
        raise OutputDirError(_refusal(wanted, "it must be a folder below /mnt"))
    if parts[1] in RESERVED:
        raise OutputDirError(_refusal(wanted, f"/mnt/{parts[1]} holds something else"))
    return "/" + "/".join(parts)


def output_dir_violation(config: Mapping[str, Any]) -> str | None:
    """Why `output_dir` cannot be used, None when it can."""
    try:
        resolve_output_dir(config)
    except OutputDirError as error:
        return str(error)
    return None


def effective_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the configuration whose `output_dir` is the mounted folder."""
    arguments = config.get("TrainingArguments")
    given = dict(arguments) if isinstance(arguments, Mapping) else {}
    return {**config, "TrainingArguments": {**given, "output_dir": resolve_output_dir(config)}}


def tuning_config_map_name(ctx: WorkloadContext) -> str:
    """`<workspace>-tuning-config-<8 hex digits of the content>`."""
    return f"{ctx.name}-tuning-config-{digest(effective_config(ctx.tuning_config))[:8]}"


def build_tuning_config_map(ctx: WorkloadContext) -> Object:
    """The ConfigMap that the Job mounts. To be created before the Job."""
    content = {ROOT_KEY: effective_config(ctx.tuning_config)}
    meta = object_meta(ctx, tuning_config_map_name(ctx))
    if ctx.tuning_config_map:
        meta["annotations"] = {SOURCE_ANNOTATION: ctx.tuning_config_map}
    text = yaml.safe_dump(content, sort_keys=True, default_flow_style=False, allow_unicode=True)
    return sealed(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "immutable": True, "data": {CONFIG_KEY: text}}
    )


def _refusal(wanted: object, why: str) -> str:
    return f"TrainingArguments.output_dir {str(wanted)[:120]!r}: {why}; write for example {DEFAULT_OUTPUT_DIR}"
