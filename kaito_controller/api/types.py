"""The Workspace (`kaito.sh/v1alpha1`) as typed models: the one source of `config/crd/kaito.sh_workspaces.yaml`.

Shape and bounds only, of what people write; `status.py` has what the controller writes, `kubernetes_types.py` what is Kubernetes' own.
Rules that span fields are in `validation.py`, and once more as CEL in the generated CRD and admission policy. Docstrings become the text
of `kubectl explain`, so they speak to users. There is no `spec` wrapper: `resource`, `inference` and `tuning` are siblings of
`metadata`, as published.
"""

# ruff: noqa: RUF012  (pydantic copies defaults for each instance)
from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from kaito_controller.api.kubernetes_types import OutputVolume, PodTemplate, VolumeSource
from kaito_controller.api.schema import (
    MAX_ADAPTERS,
    MAX_INSTANCE_TYPES,
    MAX_LABEL,
    MAX_LABEL_KEY,
    MAX_NODES,
    MAX_SELECTOR_LABELS,
    MAX_URLS,
    ApiModel,
    ImageReference,
    Label,
    Name,
    SecretNames,
    Url,
)
from kaito_controller.api.status import WorkspaceStatus
from kaito_controller.api.violation import Violation

DEFAULT_INSTANCE_TYPE = "Standard_NC12s_v3"
DEFAULT_COUNT = 1
DEFAULT_REPLICAS = 1
DEFAULT_STRENGTH = "1.0"


class Metadata(ApiModel):
    """The part of ObjectMeta that the controller reads. Never part of the generated schema: the API server owns it."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class LabelSelectorRequirement(ApiModel):
    """One requirement of the selector. Because the labels are also put on new nodes, only `In` with one value is accepted."""

    key: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_KEY)]
    """The label key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the values are compared. Only In can also be put on a new node, so the others are refused."""
    values: Annotated[list[Label], Field(max_length=16)] = []
    """The values; exactly one."""


class LabelSelector(ApiModel):
    """Labels of the nodes: existing nodes that carry them all may be used, and new nodes are created with them."""

    match_labels: Annotated[dict[str, Label], Field(max_length=MAX_SELECTOR_LABELS)] = {}
    """Labels as key: value."""
    match_expressions: Annotated[list[LabelSelectorRequirement], Field(max_length=MAX_SELECTOR_LABELS)] = []
    """The same as expressions; each must be `In` with exactly one value."""

    @property
    def labels(self) -> dict[str, str]:
        """All labels in one map, whichever way they were written. Requirements that are no plain label are left out."""
        plain = {r.key: r.values[0] for r in self.match_expressions if r.operator == "In" and len(r.values) == 1}
        return {**plain, **self.match_labels}


class ResourceSpec(ApiModel):
    """The GPU nodes that the workload runs on."""

    count: Annotated[int, Field(ge=1, le=MAX_NODES)] = DEFAULT_COUNT
    """Number of GPU nodes. Cannot be changed."""
    instance_type: Annotated[str, Field(min_length=1, max_length=MAX_LABEL)] = DEFAULT_INSTANCE_TYPE
    """VM size of the nodes to create, such as Standard_NC24ads_A100_v4. Cannot be changed."""
    instance_types: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]], Field(max_length=MAX_INSTANCE_TYPES)
    ] = []
    """VM sizes to try in this order: the next one where the cloud has no quota or capacity for a size, or does not offer it.

    Takes the place of instanceType, which may then only repeat the first entry. All nodes are of one size. Cannot be changed.
    """
    label_selector: Annotated[LabelSelector, Field(json_schema_extra={"x-kubernetes-map-type": "atomic"})]
    """Labels of the nodes to use; new nodes get them too. Cannot be changed."""
    preferred_nodes: Annotated[list[Name], Field(max_length=MAX_NODES)] = []
    """Names of existing nodes to use first."""

    @property
    def types_in_order(self) -> tuple[str, ...]:
        """The instance types to try: those of the list, else the only one."""
        return tuple(self.instance_types) or (self.instance_type,)

    @property
    def node_labels(self) -> dict[str, str]:
        """Labels that a node must carry, from matchLabels and matchExpressions together."""
        return self.label_selector.labels


class ScaleSpec(ApiModel):
    """What `kubectl scale` and autoscalers set. The API server lets the scale subresource reach no field outside of `spec`."""

    replicas: Annotated[int, Field(ge=1, le=MAX_NODES)] = DEFAULT_REPLICAS
    """Number of replicas of an inference service, one on each GPU node: set by kubectl scale, an HPA or KEDA.

    Nodes are ordered and given back accordingly. resource.count stays the least number. It has no effect on a model that runs across
    several nodes.
    """


class Weights(ApiModel):
    """Where the weights of a preset come from when not from the hub without a token: at most one of claimName and artifact."""

    claim_name: Name = ""
    """Name of a PersistentVolumeClaim in the namespace of the Workspace that holds the model's files; it is mounted read-only."""
    path: Annotated[str, Field(max_length=256)] = ""
    """Folder of the claim that holds config.json, such as models/qwen3-8b; the top when not given."""
    artifact: ImageReference = ""
    """OCI artifact that holds the model's files, such as myregistry.azurecr.io/weights/qwen3-8b:1."""
    token_secret: Name = ""
    """Name of a Secret in the namespace of the Workspace whose key token holds the hub's token. Only the pod reads it."""


class PresetOptions(ApiModel):
    """Where the image of a private preset comes from, and where its weights."""

    image: ImageReference = ""
    """Complete reference of the model image, such as myregistry.azurecr.io/llama-2-7b:0.0.1. Needed when accessMode is private."""
    image_pull_secrets: SecretNames = []
    """Names of image pull Secrets in the namespace of the Workspace."""
    weights: Weights = Weights()
    """Weights of your own, or a token for gated ones. For presets that run in the runtime image."""


class PresetSpec(ApiModel):
    """A model of the catalogue. Cannot be changed."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
    """Name of the model in the catalogue, such as phi-3-mini-4k-instruct."""
    access_mode: Literal["public", "private"] = "public"
    """public: the image published for the preset. private: the image given in presetOptions."""
    preset_options: PresetOptions = PresetOptions()
    """Options of a private preset."""

    @property
    def private_image(self) -> str:
        """The user's own model image, "" when the published one is to be used."""
        return self.preset_options.image if self.access_mode == "private" else ""


class DataSource(ApiModel):
    """Where data comes from: exactly one of urls, volumeSource and image."""

    name: Name = ""
    """Name of the source. For an adapter: its name in the model server, a DNS label."""
    urls: Annotated[list[Url], Field(max_length=MAX_URLS)] = []
    """Files to download over http or https."""
    volume_source: VolumeSource | None = None
    """A volume that holds the files."""
    image: ImageReference = ""
    """Image that holds the files in its folder /data, such as myregistry.azurecr.io/dataset:0.0.1."""
    image_pull_secrets: SecretNames = []
    """Names of image pull Secrets in the namespace of the Workspace."""


class DataDestination(ApiModel):
    """Where the finished adapter goes."""

    volume_source: OutputVolume | None = None
    """Where the result stays until it is pushed, besides the image: a claim. With one, a failed push is tried again without training."""
    image: ImageReference = ""
    """Image to push, with a tag, such as myregistry.azurecr.io/my-adapter:0.0.1."""
    image_push_secret: Name = ""
    """Name of a Secret of type kubernetes.io/dockerconfigjson, in the namespace of the Workspace, that may push the image."""


class AdapterSpec(ApiModel):
    """A LoRA adapter that is loaded on top of the model."""

    source: DataSource
    """Name of the adapter and the image that holds it."""
    strength: Annotated[str, Field(max_length=32)] = DEFAULT_STRENGTH
    """Weight of the adapter, a decimal between 0 and 1 written as text, such as "0.5"."""


class InferenceSpec(ApiModel):
    """Serve a model: a preset of the catalogue, or a pod template of your own."""

    preset: PresetSpec | None = None
    """A model of the catalogue. Cannot be changed."""
    template: PodTemplate | None = None
    """A pod template of your own, instead of a preset."""
    adapters: Annotated[list[AdapterSpec], Field(max_length=MAX_ADAPTERS)] = []
    """LoRA adapters to load on top of the preset, at most 10."""
    config: Name = ""
    """Name of a ConfigMap with the key inference_config.yaml, in the namespace of the Workspace: engine options under vllm.

    For presets that run in the runtime image. What it says wins over what is planned, and is part of the plan.
    """


class TuningSpec(ApiModel):
    """Fine-tune a preset with LoRA or QLoRA, then push the adapter as an image."""

    preset: PresetSpec | None = None
    """The model to tune. Cannot be changed."""
    method: Annotated[str, Field(max_length=16)] = ""
    """lora or qlora. Cannot be changed."""
    config: Name = ""
    """Name of a ConfigMap with the key training_config.yaml, in the namespace of the Workspace.

    Default: lora-params-template or qlora-params-template, after the method.
    """
    input: DataSource
    """The training data: exactly one of urls, volumeSource and image."""
    output: DataDestination
    """Where the finished adapter goes: it is pushed as an image that holds it in /data, ready to be used in inference.adapters."""

    @property
    def method_name(self) -> str:
        """`lora` or `qlora`, however the user wrote it."""
        return self.method.lower()

    @property
    def kept_in(self) -> str:
        """The claim that the result stays in; "" when it lives no longer than the pod."""
        volume = self.output.volume_source
        claim = volume.persistent_volume_claim if volume is not None else None
        return claim.claim_name if claim is not None else ""

    @property
    def config_map_name(self) -> str:
        """The ConfigMap that holds the training parameters: the user's, or the method's default."""
        return self.config or f"{self.method_name}-params-template"


class Workspace(ApiModel):
    """A Workspace runs one model on GPU nodes of its own: it serves a model (inference) or fine-tunes one (tuning)."""

    api_version: str = "kaito.sh/v1alpha1"
    kind: str = "Workspace"
    metadata: Metadata = Metadata()
    resource: ResourceSpec | None = None
    """The GPU nodes that the workload runs on."""
    inference: InferenceSpec | None = None
    """Serve a model. Exactly one of inference and tuning must be given."""
    spec: ScaleSpec = ScaleSpec()
    """Number of replicas, where it is scaled. All else is beside spec, not in it."""
    tuning: TuningSpec | None = None
    """Fine-tune a model. Exactly one of inference and tuning must be given."""
    status: WorkspaceStatus = WorkspaceStatus()
    """What the controller observed."""

    _malformed: tuple[Violation, ...] = PrivateAttr(default=())

    @property
    def malformed(self) -> tuple[Violation, ...]:
        """What `from_object` had to leave out because it does not fit the schema. Validation reports it."""
        return self._malformed

    @property
    def preset(self) -> PresetSpec | None:
        """The preset to serve or tune, None for a pod template or a malformed object."""
        if self.inference is not None:
            return self.inference.preset
        return self.tuning.preset if self.tuning is not None else None

    def node_count(self, *, spans_nodes: bool) -> int:
        """How many nodes it is to run on: one for each replica, and never fewer than `resource.count`.

        A tuning run, and a model that `spans_nodes`, are one whole, of which there can be no more.
        """
        least = self.resource.count if self.resource is not None else DEFAULT_COUNT
        return least if self.inference is None or spans_nodes else max(least, self.spec.replicas)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @classmethod
    def from_object(cls, obj: Mapping[str, Any]) -> Workspace:
        """Read a raw object, whatever it holds.

        Never raises: a value that does not fit the schema is left out and named in `malformed`, so that one broken object, or
        one written by a newer version, costs a condition and not a worker.
        """
        from kaito_controller.api.lenient import (
            read_leniently,
        )  # a cycle otherwise: it needs this class only as an argument

        workspace, malformed = read_leniently(cls, obj)
        workspace._malformed = malformed
        return workspace
