"""Rules of `tuning`: model, method, where the data comes from and where the result goes."""

from __future__ import annotations

from collections.abc import Iterator

from kaito_controller.api import patterns, sentences
from kaito_controller.api.rules.sources import (
    check_preset,
    check_pulled_image,
    check_secret_names,
    check_volume,
)
from kaito_controller.api.types import DataDestination, DataSource, TuningSpec, Weights
from kaito_controller.api.violation import Violation, quote

_INPUT = "tuning.input"
_OUTPUT = "tuning.output"


def check_tuning(tuning: TuningSpec) -> Iterator[Violation]:
    """Everything about `tuning` that needs no catalogue and no ConfigMap."""
    if tuning.preset is None:
        yield Violation("tuning.preset", sentences.TUNING_PRESET_MISSING, "tuning")
    else:
        yield from check_preset(tuning.preset, "tuning.preset")
        if tuning.preset.preset_options.weights != Weights():
            yield Violation("tuning.preset.presetOptions.weights", sentences.WEIGHTS_OF_TUNING, "tuning.preset")
    if not tuning.method:
        yield Violation("tuning.method", sentences.METHOD_MISSING, "tuning")
    elif not patterns.fits(patterns.METHOD, tuning.method):
        yield Violation("tuning.method", f"{quote(tuning.method)} {sentences.METHOD}", "tuning.method")
    if tuning.config and not patterns.fits(patterns.DNS_SUBDOMAIN, tuning.config):
        yield Violation("tuning.config", f"{quote(tuning.config)} {sentences.CONFIG_NAME}", "tuning.config")
    yield from _check_input(tuning.input)
    yield from _check_output(tuning.output)


def _check_input(source: DataSource) -> Iterator[Violation]:
    if [bool(source.urls), source.volume_source is not None, bool(source.image)].count(True) != 1:
        yield Violation(_INPUT, sentences.INPUT_SOURCES, _INPUT)
    for index, url in enumerate(source.urls):
        field = f"{_INPUT}.urls[{index}]"
        if not patterns.fits(patterns.URL, url):
            yield Violation(field, f"{quote(url)} {sentences.URL}", f"{_INPUT}.urls")
        elif not patterns.fits(patterns.URL_HOST, url):
            yield Violation(field, f"{quote(url)} {sentences.URL_HOST}", f"{_INPUT}.urls")
        elif patterns.fits(patterns.METADATA_URL, url):
            yield Violation(field, f"{quote(url)} {sentences.METADATA_URL}", f"{_INPUT}.urls")
    if source.volume_source is not None:
        yield from check_volume(source.volume_source, f"{_INPUT}.volumeSource", f"{_INPUT}.volumeSource")
    yield from check_pulled_image(source.image, f"{_INPUT}.image")
    yield from check_secret_names(source.image_pull_secrets, f"{_INPUT}.imagePullSecrets")


def _check_output(output: DataDestination) -> Iterator[Violation]:
    if output.volume_source is not None and output.volume_source.persistent_volume_claim is None:
        yield Violation(f"{_OUTPUT}.volumeSource", sentences.OUTPUT_VOLUME, _OUTPUT)
    image, secret = f"{_OUTPUT}.image", f"{_OUTPUT}.imagePushSecret"
    if not output.image:
        yield Violation(image, sentences.OUTPUT_IMAGE_MISSING, _OUTPUT)
    elif not patterns.fits(patterns.IMAGE_TO_PUSH, output.image):
        yield Violation(image, f"{quote(output.image)} {sentences.IMAGE_TO_PUSH}", image)
    if not output.image_push_secret:
        yield Violation(secret, sentences.PUSH_SECRET_MISSING, _OUTPUT)
    elif not patterns.fits(patterns.DNS_SUBDOMAIN, output.image_push_secret):
        yield Violation(secret, f"{quote(output.image_push_secret)} {sentences.SECRET_NAME}", secret)
