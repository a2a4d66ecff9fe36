"""Everything that one Workspace needs, in the order in which it is to be created."""

from __future__ import annotations

from controller_runtime.resources import Object
from kaito_controller.workloads.context import WorkloadContext
from kaito_controller.workloads.inference import build_inference_deployment, build_inference_stateful_set
from kaito_controller.workloads.services import build_headless_service, build_service, is_distributed
from kaito_controller.workloads.template import build_template_deployment
from kaito_controller.workloads.tuning import build_push_job, build_tuning_job
from kaito_controller.workloads.tuning_config import build_tuning_config_map


def build_workload(ctx: WorkloadContext) -> Object:
    """The Deployment, StatefulSet or Job."""
    inference = ctx.workspace.inference
    if inference is None:
        return build_push_job(ctx) if ctx.push_only else build_tuning_job(ctx)
    if inference.template is not None:
        return build_template_deployment(ctx)
    return build_inference_stateful_set(ctx) if is_distributed(ctx) else build_inference_deployment(ctx)


def build_objects(ctx: WorkloadContext) -> tuple[Object, ...]:
    """Services first (the ranks of a distributed run need their names), then configuration, then the workload."""
    services = [build_service(ctx), *([build_headless_service(ctx)] if is_distributed(ctx) else [])]
    config = [build_tuning_config_map(ctx)] if ctx.workspace.tuning is not None else []
    return (*services, *config, build_workload(ctx))
