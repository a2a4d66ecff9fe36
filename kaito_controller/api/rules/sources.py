"""Rules that several parts share: image references, Secret names, the options of a preset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kaito_controller.api import patterns, sentences
from kaito_controller.api.kubernetes_types import VolumeSource
from kaito_controller.api.types import PresetSpec, Weights
from kaito_controller.api.violation import Violation, quote


def check_pulled_image(image: str, field: str, unit: str = "") -> Iterator[Violation]:
    """An image that is given must be one that a registry could hold; unfilled placeholders are not. `unit` defaults to `field`."""
    if image and not patterns.fits(patterns.IMAGE_TO_PULL, image):
        yield Violation(field, f"{quote(image)} {sentences.IMAGE_TO_PULL}", unit or field)


def check_secret_names(names: Iterable[str], field: str, unit: str = "") -> Iterator[Violation]:
    """Each name must be one that a Secret could have. `unit` defaults to `field`, the list."""
    for index, name in enumerate(names):
        if not patterns.fits(patterns.DNS_SUBDOMAIN, name):
            yield Violation(f"{field}[{index}]", f"{quote(name)} {sentences.SECRET_NAME}", unit or field)


def check_preset(preset: PresetSpec, path: str) -> Iterator[Violation]:
    """Access mode and image of a preset, without the catalogue."""
    options = preset.preset_options
    field = f"{path}.presetOptions.image"
    if preset.access_mode == "private" and not options.image:
        yield Violation(field, sentences.PRIVATE_IMAGE, path)
    if preset.access_mode == "public" and options.image:
        yield Violation(field, f"{quote(options.image)} {sentences.PUBLIC_IMAGE}", path)
    yield from check_pulled_image(options.image, field)
    yield from check_secret_names(options.image_pull_secrets, f"{path}.presetOptions.imagePullSecrets")
    yield from _check_weights(options.weights, f"{path}.presetOptions.weights")


def _check_weights(weights: Weights, path: str) -> Iterator[Violation]:
    if weights.claim_name and weights.artifact:
        yield Violation(path, sentences.WEIGHTS_TWICE, path)
    if weights.path and not weights.claim_name:
        yield Violation(path, f"path {sentences.WEIGHTS_PATH}", path)
    forms = (
        ("claimName", weights.claim_name, patterns.DNS_SUBDOMAIN, sentences.CLAIM_NAME),
        ("path", weights.path, patterns.FOLDER, sentences.WEIGHTS_FOLDER),
        ("artifact", weights.artifact, patterns.IMAGE_TO_PULL, sentences.IMAGE_TO_PULL),
        ("tokenSecret", weights.token_secret, patterns.DNS_SUBDOMAIN, sentences.SECRET_NAME),
    )
    for field, value, pattern, sentence in forms:
        if value and not patterns.fits(pattern, value):
            yield Violation(f"{path}.{field}", f"{quote(value)} {sentence}", f"{path}.{field}")


def check_volume(volume: VolumeSource, field: str, unit: str) -> Iterator[Violation]:
    """Exactly one kind of volume that is safe to mount: never hostPath, a Workspace stays inside its pod."""
    kinds = (volume.persistent_volume_claim, volume.csi, volume.ephemeral, volume.config_map)
    if sum(kind is not None for kind in kinds) != 1:
        yield Violation(field, sentences.VOLUME_KIND, unit)
