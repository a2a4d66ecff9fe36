"""Where the runtime image finds the weights of a preset: the hub, an OCI artifact, or a claim of the user's.

A claim is mounted read-only. What comes over the network goes into a folder of the pod's own, where a container that is started again
finds it. The hub's token is a file that only the pod reads: the operator knows the name of the Secret and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller_runtime.resources import Object
from kaito_controller.api.types import PresetSpec, Weights
from kaito_controller.api.violation import Violation, quote
from kaito_controller.workloads.context import WorkloadContext
from kaito_controller.workloads.policy import TemplatePolicy
from kaito_controller.workloads.volumes import Mounted, scratch

CLAIM_FOLDER = "/mnt/model"
DOWNLOADS = scratch("weights", "/mnt/weights")
"""The runtime image's own default for what it fetches."""
TOKEN_FOLDER, TOKEN_KEY = "/mnt/hub-token", "token"  # a folder and a key
OCI_SCHEME = "oci://"


def weights_source(spec: PresetSpec | None) -> str:
    """What the runtime image is told as `--weights`; "" for the preset's own repository on the hub."""
    weights = spec.preset_options.weights if spec is not None else Weights()
    if weights.claim_name:
        return f"{CLAIM_FOLDER}/{weights.path}".rstrip("/")
    return f"{OCI_SCHEME}{weights.artifact}" if weights.artifact else ""


def weights_mounts(spec: PresetSpec) -> list[Mounted]:
    """The volumes of a pod that runs in the runtime image."""
    weights = spec.preset_options.weights
    if weights.claim_name:
        claim = {"persistentVolumeClaim": {"claimName": weights.claim_name, "readOnly": True}}
        return [Mounted("model", claim, CLAIM_FOLDER, read_only=True)]
    token = {"secret": {"secretName": weights.token_secret, "items": [{"key": TOKEN_KEY, "path": TOKEN_KEY}]}}
    return [DOWNLOADS, *([Mounted("hub-token", token, TOKEN_FOLDER, read_only=True)] if weights.token_secret else [])]


def trainer_env(ctx: WorkloadContext) -> list[Object]:
    """Where the trainer of the runtime image finds the base model; nothing for a trainer whose image has it."""
    weights = ctx.required_preset.weights
    if ctx.runtime.weights_in_image:
        return []
    mirror = (
        [{"name": "MODEL_RUNTIME_HF_ENDPOINT", "value": ctx.settings.hub_endpoint}] if ctx.settings.hub_endpoint else []
    )
    return [{"name": "MODEL_RUNTIME_WEIGHTS", "value": f"hf://{weights.repository}@{weights.revision}"}, *mirror]


def weights_flags(ctx: WorkloadContext, spec: PresetSpec) -> list[str]:
    """What else the runtime image is told about where weights come from."""
    weights = spec.preset_options.weights
    if weights.claim_name:
        return []
    token = [f"--hf-token-file={TOKEN_FOLDER}/{TOKEN_KEY}"] if weights.token_secret else []
    mirror = [f"--hf-endpoint={ctx.settings.hub_endpoint}"] if ctx.settings.hub_endpoint else []
    return [*mirror, *token]


def token_violations(spec: PresetSpec | None, path: str, policy: TemplatePolicy) -> Iterator[Violation]:
    """Why the hub's token may not be mounted: whoever writes a Workspace could otherwise read the key `token` of any Secret beside it."""
    secret = spec.preset_options.weights.token_secret if spec is not None else ""
    if secret and not policy.secrets:
        told = (
            f"{quote(secret)}: Workspaces may not read Secrets in this cluster (--template-secrets=refuse); "
            "use claimName or artifact, or ask who runs the operator"
        )
        yield Violation(f"{path}.presetOptions.weights.tokenSecret", told)
