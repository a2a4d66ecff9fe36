"""Pure builders: from one resolved Workspace to the Kubernetes objects that serve or tune its model.

No client, clock, logger, random or environment, and no state: the same `WorkloadContext` always gives the same bytes, and building
for one Workspace cannot change what another gets. Creating, patching and deleting is the reconciler's business.
"""

from kaito_controller.workloads.context import HelperImages, PodSettings, WorkloadContext
from kaito_controller.workloads.inference import build_inference_deployment, build_inference_stateful_set
from kaito_controller.workloads.metadata import selector_labels
from kaito_controller.workloads.objects import build_objects, build_workload
from kaito_controller.workloads.policy import TemplatePolicy, TemplateRefusedError, violations, volume_violations
from kaito_controller.workloads.references import pod_references
from kaito_controller.workloads.revision import (
    UpdateDecision,
    compare,
    intent_hash,
    is_same_intent,
    rescaled,
    restart_reason,
    updated,
)
from kaito_controller.workloads.scheduling import is_bound_to_ordered, pinned_nodes
from kaito_controller.workloads.services import (
    asks_for_load_balancer,
    build_headless_service,
    build_service,
    is_distributed,
)
from kaito_controller.workloads.template import build_template_deployment, gpus_of
from kaito_controller.workloads.tuning import (
    Steps,
    build_push_job,
    build_tuning_job,
    trained_run,
    training_inputs,
    tuning_steps,
)
from kaito_controller.workloads.tuning_config import (
    OutputDirError,
    build_tuning_config_map,
    output_dir_violation,
    resolve_output_dir,
    tuning_config_map_name,
)
from kaito_controller.workloads.weights import token_violations, weights_source

__all__ = [
    "HelperImages",
    "OutputDirError",
    "PodSettings",
    "Steps",
    "TemplatePolicy",
    "TemplateRefusedError",
    "UpdateDecision",
    "WorkloadContext",
    "asks_for_load_balancer",
    "build_headless_service",
    "build_inference_deployment",
    "build_inference_stateful_set",
    "build_objects",
    "build_push_job",
    "build_service",
    "build_template_deployment",
    "build_tuning_config_map",
    "build_tuning_job",
    "build_workload",
    "compare",
    "gpus_of",
    "intent_hash",
    "is_bound_to_ordered",
    "is_distributed",
    "is_same_intent",
    "output_dir_violation",
    "pinned_nodes",
    "pod_references",
    "rescaled",
    "resolve_output_dir",
    "restart_reason",
    "selector_labels",
    "token_violations",
    "trained_run",
    "training_inputs",
    "tuning_config_map_name",
    "tuning_steps",
    "updated",
    "violations",
    "volume_violations",
    "weights_source",
]
