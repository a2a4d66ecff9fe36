"""Settings of `kaito-controller`: where presets come from, and how long and how often it tries."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from controller_runtime.settings import OperatorSettings, Seconds
from kaito_controller.catalog.model import DEFAULT_REGION
from kaito_controller.nodeapi import APIS
from kaito_controller.nodeapi.port import NodeTerms
from kaito_controller.workloads.context import POD_DEFAULTS, HelperImages, PodSettings
from kaito_controller.workloads.policy import TemplatePolicy
from kaito_controller.workspace.state.caps import Allowance, Caps
from kaito_controller.workspace.state.snapshot import DEFAULT_LIMITS, BroughtNodes, Limits

ENV_PREFIX = "KAITO_"


def listed(text: str) -> tuple[str, ...]:
    """The entries of a list that is written with commas."""
    return tuple(entry for entry in (part.strip() for part in text.split(",")) if entry)


class ControllerSettings(OperatorSettings):
    """What `kaito-controller` can be told, besides what every operator can."""

    preset_registry_name: str = Field(
        default=POD_DEFAULTS.image_registry,
        min_length=1,
        description="Registry and folder of the public preset images.",
        json_schema_extra={"env": ["PRESET_REGISTRY_NAME"]},
    )
    model_runtime_image: str = Field(
        default="",
        description="Runtime image that serves and tunes every preset whose weights are on the hub; the published images when not given.",
    )
    release_namespace: str = Field(
        default="",
        description="Namespace of the default training configurations and the catalogue ConfigMap; the pod's own when not given.",
        json_schema_extra={"env": ["RELEASE_NAMESPACE", "POD_NAMESPACE"]},
    )
    catalogue_config_map: str = Field(
        default="kaito-catalogue",
        description="ConfigMap in the release namespace with further presets and instance types; it may be missing.",
    )
    machine_api: Literal["auto", "required"] = Field(
        default="auto",
        description="auto: without the CRD of a node API, only nodes that users bring are used. required: stop when it is missing.",
    )
    node_api: str = Field(
        default="auto",
        pattern=f"^(auto|{'|'.join(APIS)})$",
        description=f"API by which nodes are ordered: {', '.join(APIS)}, or auto for the one that is installed and answered.",
    )
    node_class: str = Field(
        default="kaito.sh/KaitoNodeClass/default",
        pattern=r"^[a-z0-9.-]+/[A-Za-z0-9]+/[a-z0-9.-]+$",
        description="Node class of ordered NodeClaims, GROUP/KIND/NAME, such as karpenter.k8s.aws/EC2NodeClass/gpu; says who makes them.",
    )
    node_expire_after: str = Field(
        default="Never",
        pattern=r"^(([0-9]+[smh])+|Never)$",
        description="After which Karpenter takes a node away whatever runs on it: Never, or a duration such as 720h.",
    )
    node_termination_grace_period: str = Field(
        default="",
        pattern=r"^([0-9]+[smh])*$",
        description="Longest time for pods to leave a node that goes, such as 1h; as long as they need when not given.",
    )
    node_disk_request: Literal["auto", "storage", "ephemeral-storage", "none"] = Field(
        default="auto",
        description="Request of a NodeClaim that sizes the disk: storage, ephemeral-storage, none; auto: what the node class knows.",
    )
    machine_attempts: int = Field(
        default=DEFAULT_LIMITS.machine_attempts,
        ge=1,
        le=100,
        description="Machines (or NodeClaims) that may fail, for each node, before the Workspace gives up.",
    )
    machine_timeout_s: Seconds = Field(
        default=DEFAULT_LIMITS.machine_timeout_s,
        gt=0,
        description="A Machine (or NodeClaim) that is not Ready by then counts as failed.",
    )
    machine_retry_delay_s: Seconds = Field(
        default=DEFAULT_LIMITS.machine_retry_delay_s,
        description="Pause before the second attempt; it doubles with each further one.",
    )
    machine_retry_period_s: Seconds = Field(
        default=DEFAULT_LIMITS.machine_retry_period_s,
        gt=0,
        description="After the last attempt failed, one more is made each time this has passed.",
    )
    provisioner_silence_s: Seconds = Field(
        default=DEFAULT_LIMITS.provisioner_silence_s,
        gt=0,
        description="A Machine (or NodeClaim) that no provisioner has touched by then is reported.",
    )
    node_lost_timeout_s: Seconds = Field(
        default=DEFAULT_LIMITS.node_lost_timeout_s,
        gt=0,
        description="A node that is gone or not Ready for so long is replaced.",
    )
    gpu_timeout_s: Seconds = Field(
        default=DEFAULT_LIMITS.gpu_timeout_s,
        gt=0,
        description="A Ready node that does not show its GPUs by then is reported.",
    )
    template_readiness_timeout_s: Seconds = Field(
        default=POD_DEFAULTS.template_readiness_s,
        gt=0,
        description="Time to become ready for a pod template of the user's own; presets bring theirs.",
    )
    failed_workload_grace_s: Seconds = Field(
        default=DEFAULT_LIMITS.failed_workload_grace_s,
        ge=0,
        description="A workload that is not ready so long after the model's own time limit is removed and its nodes are given back.",
    )
    tuning_deadline_s: int | None = Field(
        default=None, ge=60, le=10**9, description="Upper bound on a whole tuning Job in seconds; none when not given."
    )
    preset_run_as_user: int | None = Field(
        default=None,
        ge=1,
        le=2**31 - 1,
        description="UID for preset and trainer images; the image's own user when not given.",
    )
    hub_endpoint: str = Field(
        default="",
        pattern=r"^(https?://[A-Za-z0-9.:/_-]{1,200})?$",
        description="Mirror of the model hub that pods ask in a cluster without Internet, such as https://hub.example.com.",
    )
    cluster_domain: str = Field(default=POD_DEFAULTS.cluster_domain, description="DNS suffix of the cluster.")
    curl_image: str = Field(
        default="",
        description="Image whose curl downloads training data; when not given, Python of the tuning image, which judges the addresses.",
    )
    download_allowed_hosts: str = Field(
        default="",
        description="Hosts and networks, such as data.example.com,10.1.0.0/16, that training data may come from besides the Internet.",
    )
    crane_image: str = Field(default=POD_DEFAULTS.images.crane, description="Image that pushes the tuned adapter.")
    adapter_base_image: str = Field(
        default=POD_DEFAULTS.images.adapter_base, description="Base of the pushed adapter image; it must contain cp."
    )

    template_secrets: Literal["allow", "refuse"] = Field(
        default="allow",
        description=(
            "allow: pod templates, and tokenSecret of a preset's weights, may read Secrets of their namespace, "
            "also those that their author may not read."
        ),
    )
    template_metadata_prefixes: str = Field(
        default="",
        description="Further prefixes of labels and annotations that pod templates may carry, such as example.com/,team.io/.",
    )
    template_priority_classes: str = Field(
        default="", description="PriorityClasses that pod templates may name, separated by commas; none when not given."
    )
    template_runtime_classes: str = Field(
        default="", description="RuntimeClasses that pod templates may name, separated by commas; none when not given."
    )
    template_csi_drivers: str = Field(
        default="",
        description="Drivers of inline CSI volumes that Workspaces may use, separated by commas; none when not given.",
    )

    brought_node_selector: str = Field(
        default="",
        description="Labels such as pool=gpu,team=a that a node must carry to be used without an order; any GPU node when not given.",
    )
    brought_node_namespaces: str = Field(
        default="",
        description="Namespaces whose Workspaces may use nodes without an order, separated by commas; all when not given.",
    )

    max_nodes_per_namespace: int = Field(
        default=8,
        ge=0,
        description="Nodes that the Workspaces of one namespace may order; its annotation kaito.sh/max-nodes says another number.",
    )
    max_gpus_per_namespace: int | None = Field(
        default=None,
        ge=0,
        description="GPUs that the Workspaces of one namespace may order; its annotation is kaito.sh/max-gpus; not limited when not given.",
    )
    max_usd_per_hour_per_namespace: float | None = Field(
        default=None,
        ge=0,
        description="List price of what one namespace may order; its annotation is kaito.sh/max-usd-per-hour; not limited when not given.",
    )
    max_nodes: int = Field(default=100, ge=0, description="Nodes that all Workspaces of the cluster may order.")
    max_gpus: int | None = Field(
        default=None, ge=0, description="GPUs that all Workspaces may order; not limited when not given."
    )
    max_usd_per_hour: float | None = Field(
        default=None, ge=0, description="List price of what all Workspaces may order; not limited when not given."
    )
    price_region: str = Field(default=DEFAULT_REGION, description="Region of the cloud whose list prices count.")

    require_quota: bool = Field(
        default=False,
        description="Order no node while the published quotas and instance types say that it cannot be had; otherwise this is only said.",
    )

    load_balancer_namespaces: str = Field(
        default="",
        description="Namespaces in which the annotation kaito.sh/enablelb makes a load balancer, separated by commas; * for all.",
    )

    @property
    def allowance(self) -> Allowance:
        """How much may be ordered."""
        near = Caps(self.max_nodes_per_namespace, self.max_gpus_per_namespace, self.max_usd_per_hour_per_namespace)
        return Allowance(near, Caps(self.max_nodes, self.max_gpus, self.max_usd_per_hour), self.price_region)

    @property
    def brought_nodes(self) -> BroughtNodes:
        """Which nodes that nobody ordered may be used."""
        pairs = (entry.partition("=") for entry in listed(self.brought_node_selector))
        return BroughtNodes({key: value for key, _, value in pairs}, listed(self.brought_node_namespaces))

    @property
    def node_terms(self) -> NodeTerms:
        """What is said of all ordered nodes."""
        return NodeTerms(
            node_class=self.node_class,
            expire_after=self.node_expire_after,
            termination_grace_period=self.node_termination_grace_period,
            disk_request=self.node_disk_request,
        )

    @property
    def template_policy(self) -> TemplatePolicy:
        """What pod templates may carry."""
        return TemplatePolicy(
            metadata_prefixes=listed(self.template_metadata_prefixes),
            priority_classes=listed(self.template_priority_classes),
            runtime_classes=listed(self.template_runtime_classes),
            csi_drivers=listed(self.template_csi_drivers),
            secrets=self.template_secrets == "allow",
        )

    @property
    def limits(self) -> Limits:
        """The limits that the reconciler plans by."""
        return Limits(
            machine_attempts=self.machine_attempts,
            machine_timeout_s=self.machine_timeout_s,
            machine_retry_delay_s=self.machine_retry_delay_s,
            machine_retry_period_s=self.machine_retry_period_s,
            provisioner_silence_s=self.provisioner_silence_s,
            node_lost_timeout_s=self.node_lost_timeout_s,
            gpu_timeout_s=self.gpu_timeout_s,
            failed_workload_grace_s=self.failed_workload_grace_s,
        )

    @property
    def pods(self) -> PodSettings:
        """What builders of pods are told."""
        return PodSettings(
            image_registry=self.preset_registry_name,
            images=HelperImages(self.curl_image, self.crane_image, self.adapter_base_image),
            cluster_domain=self.cluster_domain,
            hub_endpoint=self.hub_endpoint,
            download_allowed_hosts=listed(self.download_allowed_hosts),
            preset_run_as_user=self.preset_run_as_user,
            tuning_deadline_s=self.tuning_deadline_s,
            template_readiness_s=self.template_readiness_timeout_s,
            template_policy=self.template_policy,
            load_balancer_namespaces=listed(self.load_balancer_namespaces),
        )
