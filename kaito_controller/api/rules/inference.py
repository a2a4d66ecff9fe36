"""Rules of `inference`: preset or template, and adapters."""

from __future__ import annotations

from collections.abc import Iterator

from kaito_controller.api import patterns, sentences
from kaito_controller.api.kubernetes_types import Container, PodTemplate
from kaito_controller.api.rules.sources import check_preset, check_pulled_image, check_secret_names
from kaito_controller.api.types import AdapterSpec, InferenceSpec
from kaito_controller.api.violation import Violation, quote

_ADAPTERS = "inference.adapters"
_TEMPLATE = "inference.template"


def check_inference(inference: InferenceSpec) -> Iterator[Violation]:
    """Everything about `inference` that needs no catalogue."""
    if (inference.preset is None) == (inference.template is None):
        yield Violation("inference", sentences.PRESET_OR_TEMPLATE, "inference")
    if inference.template is not None and inference.adapters:
        yield Violation(_ADAPTERS, sentences.TEMPLATE_ADAPTERS, "inference")
    if inference.template is not None and inference.config:
        yield Violation("inference.config", sentences.TEMPLATE_CONFIG, "inference")
    if inference.config and not patterns.fits(patterns.DNS_SUBDOMAIN, inference.config):
        yield Violation("inference.config", f"{quote(inference.config)} {sentences.CONFIG_NAME}", "inference.config")
    if inference.preset is not None:
        yield from check_preset(inference.preset, "inference.preset")
    if inference.template is not None:
        yield from _check_template(inference.template)
    names = [adapter.source.name for adapter in inference.adapters]
    if len(set(names)) != len(names):
        yield Violation(_ADAPTERS, sentences.ADAPTER_DUPLICATE, _ADAPTERS)
    for index, adapter in enumerate(inference.adapters):
        yield from _check_adapter(adapter, f"{_ADAPTERS}[{index}]")


def _check_adapter(adapter: AdapterSpec, path: str) -> Iterator[Violation]:
    source = adapter.source
    if not source.name:
        yield Violation(f"{path}.source.name", sentences.ADAPTER_NAME_MISSING, _ADAPTERS)
    elif not patterns.fits(patterns.DNS_LABEL, source.name):
        yield Violation(f"{path}.source.name", f"{quote(source.name)} {sentences.ADAPTER_NAME}", _ADAPTERS)
    if not source.image:
        yield Violation(f"{path}.source.image", sentences.ADAPTER_IMAGE_MISSING, _ADAPTERS)
    if source.urls or source.volume_source is not None:
        yield Violation(f"{path}.source", sentences.ADAPTER_OTHER_SOURCE, _ADAPTERS)
    yield from check_pulled_image(source.image, f"{path}.source.image", _ADAPTERS)
    yield from check_secret_names(source.image_pull_secrets, f"{path}.source.imagePullSecrets", _ADAPTERS)
    if not patterns.fits(patterns.STRENGTH, adapter.strength):
        yield Violation(f"{path}.strength", f"{quote(adapter.strength)} {sentences.ADAPTER_STRENGTH}", _ADAPTERS)


def _check_template(template: PodTemplate) -> Iterator[Violation]:
    """A Workspace is a privilege boundary: its template gets no more than Pod Security's baseline gives."""
    spec = template.spec
    path = f"{_TEMPLATE}.spec"
    if spec.host_network or spec.host_pid or spec.host_ipc:
        yield Violation(path, sentences.HOST_NAMESPACE, path)
    if any(volume.host_path is not None for volume in spec.volumes):
        yield Violation(f"{path}.volumes", sentences.HOST_PATH, path)
    for kind, containers in (("containers", spec.containers), ("initContainers", spec.init_containers)):
        for index, container in enumerate(containers):
            yield from _check_container(container, f"{path}.{kind}[{index}]", f"{path}.{kind}")


def _check_container(container: Container, field: str, unit: str) -> Iterator[Violation]:
    if not patterns.fits(patterns.DNS_LABEL, container.name):
        yield Violation(f"{field}.name", f"{quote(container.name)} {sentences.CONTAINER_NAME}", unit)
    if container.security_context.privileged:
        yield Violation(field, sentences.PRIVILEGED, unit)
