"""What a builder may know: one frozen value, filled by the reconciler from its snapshot.

Builders are functions of a `WorkloadContext` and of nothing else. Whatever decides what a pod looks like must therefore be a
field here, which is also what makes "would this edit restart the model?" a question that can be answered without a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kaito_controller.catalog.runtimes import PUBLISHED, Runtime
from kaito_controller.workloads.policy import DEFAULT_POLICY, TemplatePolicy

if TYPE_CHECKING:
    from kaito_controller.api.types import Workspace
    from kaito_controller.catalog.model import Preset

DEFAULT_CRANE_IMAGE = (
    "gcr.io/go-containerregistry/crane:v0.22.1@sha256:1f968817b95790bed063f71175aa6b8ff879fa17064020415f3e18bb6e6a36e1"
)
DEFAULT_ADAPTER_BASE_IMAGE = (
    "docker.io/library/busybox:1.37.0@sha256:9db7b59979c38555a39def84a31fb98b5296952f9e3afd4f6f11f05b07adfab0"
)


@dataclass(frozen=True, slots=True)
class HelperImages:
    """Images that the operator adds to a tuning pod. Pinned by digest; a mirror overrides them through settings."""

    curl: str = ""
    """Downloads `tuning.input.urls` with curl; "" for the tuning image's own Python, which judges the addresses."""
    crane: str = DEFAULT_CRANE_IMAGE
    """Pushes the result; needs no daemon and no privileges."""
    adapter_base: str = DEFAULT_ADAPTER_BASE_IMAGE
    """Base of the pushed image. It must contain `cp`, because an adapter image copies itself into the serving pod."""


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What the operator of the cluster says of all pods. Settings are filled in from here, so that each default stands here alone."""

    image_registry: str = "mcr.microsoft.com/aks/kaito"
    """Prefix of public preset images."""
    images: HelperImages = field(default_factory=HelperImages)
    cluster_domain: str = "cluster.local"
    """DNS suffix of the cluster, for the rendezvous address of a distributed run, and for addresses that downloads may not ask."""
    hub_endpoint: str = ""
    """Mirror of the hub that the runtime image asks; "" for the hub itself."""
    download_allowed_hosts: tuple[str, ...] = ()
    """Hosts and networks that training data may come from besides the public Internet."""
    preset_run_as_user: int | None = None
    """UID for preset and trainer images. None keeps the image's own user, which is root in the public preset images."""
    tuning_deadline_s: int | None = None
    """Upper bound on a whole tuning Job, all attempts included. None: no bound."""
    template_readiness_s: float = 600.0
    """How long a pod of an unknown program may take once its image is there; presets bring their own time. As published for templates."""
    template_policy: TemplatePolicy = DEFAULT_POLICY
    """What pod templates of users may carry."""
    load_balancer_namespaces: tuple[str, ...] = ()
    """Whose Workspaces may ask for a load balancer, which may be reachable from the Internet and costs money; `*`: all."""


POD_DEFAULTS = PodSettings()


@dataclass(frozen=True, slots=True)
class WorkloadContext:
    """One Workspace, resolved. `node_names` and `gpus_per_pod` come from the node plan and from sizing."""

    workspace: Workspace
    preset: Preset | None = None
    """The catalogue entry; None for template inference."""
    node_names: tuple[str, ...] = ()
    """The nodes chosen for this Workspace. Pods run on these and on no others."""
    on_ordered_nodes: bool = False
    """Besides them, on any node that a Machine of this Workspace became: nodes may come and go without a restart of what serves."""
    gpus_per_pod: int = 1
    """`nvidia.com/gpu` requested by each pod, which is also processes per node of a distributed run."""
    settings: PodSettings = field(default_factory=PodSettings)
    tuning_config_map: str = ""
    """Name of the ConfigMap that `tuning_config` was read from: the user's, or a default template."""
    tuning_config: Mapping[str, Any] = field(default_factory=dict)
    """Its `training_config` mapping, parsed and validated."""
    runtime_args: tuple[str, ...] = ()
    """Arguments of the runtime image, planned from the shape of the model; unused by presets with an image of their own."""
    engine_config: Mapping[str, str] = field(default_factory=dict)
    """Engine options of the user's own, as the container is told them: a change of them is a change of what is asked for."""
    attempt: int = 0
    """How often this workload was started anew on purpose; a higher number replaces a finished Job."""
    push_only: bool = False
    """The result of the training is in the output volume; all that is left is to push it, which takes no GPU."""

    @property
    def name(self) -> str:
        """Name of the Workspace, and of its Service and workload."""
        return self.workspace.metadata.name

    @property
    def namespace(self) -> str:
        """Namespace of the Workspace, and of everything built for it."""
        return self.workspace.metadata.namespace

    @property
    def count(self) -> int:
        """Number of nodes, and of pods."""
        return self.workspace.node_count(spans_nodes=self.preset is not None and self.preset.distributed)

    @property
    def runtime(self) -> Runtime:
        """What is relied on in the image that serves or trains; a pod template's own program is expected where published images are."""
        return self.preset.contract if self.preset is not None else PUBLISHED

    @property
    def run_as_user(self) -> int | None:
        """UID of the containers that serve and train."""
        told = self.settings.preset_run_as_user
        return self.runtime.run_as_user if told is None else told

    @property
    def load_balancer(self) -> bool:
        """Whether the namespace may have Services of type LoadBalancer."""
        return bool({"*", self.namespace} & set(self.settings.load_balancer_namespaces))

    @property
    def required_preset(self) -> Preset:
        """The catalogue entry of a builder that cannot work without one."""
        if self.preset is None:
            raise ValueError(
                f"workspace {self.workspace.key}: this workload is built from a preset, but preset is None"
            )
        return self.preset
