"""`--model-runtime-image`: which presets it serves, and what stays as published."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from kaito_controller.api.types import Workspace
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.runtime_image import for_image_of_its_own, with_runtime_image
from kaito_controller.catalog.sizing import fit_inference
from kaito_controller.workspace.decide.preflight import examine
from model_runtime.serve.settings import parse

CATALOG = load_catalog()
IMAGE = "r.example.com/runtime:1"
OURS = with_runtime_image(CATALOG, IMAGE)
PUBLISHED = sorted(p.name for p in CATALOG.presets.values() if p.runtime == "image" and p.access == "public")


def arguments(preset: str, instance_type: str, **spec: Any) -> tuple[str, ...]:
    obj = {
        "metadata": {"name": "w", "namespace": "n", "uid": "1"},
        "resource": {"instanceType": instance_type, "labelSelector": {"matchLabels": {"a": "b"}}},
        "inference": {"preset": {"name": preset, **spec}},
    }
    request = examine(Workspace.from_object(obj), OURS, None, running=False)
    assert request.preflight is None
    return request.runtime_args


def test_without_an_image_nothing_changes() -> None:
    assert with_runtime_image(CATALOG, "") is CATALOG


def test_every_preset_with_weights_on_the_hub_runs_in_the_image_and_llama_2_does_not() -> None:
    moved = {name for name, preset in OURS.presets.items() if preset.image("registry") == IMAGE}
    assert moved == {p.name for p in CATALOG.presets.values() if p.access == "public"}
    assert all(OURS.presets[name] == CATALOG.presets[name] for name in CATALOG.presets if name not in moved)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_moved_preset_keeps_its_numbers_and_its_tuning(name: str) -> None:
    before, after = CATALOG.presets[name], OURS.presets[name]
    changed = {f.name for f in dataclasses.fields(before) if getattr(before, f.name) != getattr(after, f.name)}
    assert changed == {"runtime", "runtime_image", "launcher", "published"}
    assert after.weights.revision != "main"


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_instance_type_is_judged_as_before_and_the_image_understands_its_arguments(name: str) -> None:
    for instance_type in CATALOG.instance_types.values():
        fits = fit_inference(CATALOG, CATALOG.presets[name], instance_type, 1)
        assert fit_inference(OURS, OURS.presets[name], instance_type, 1) == fits
        if fits.ok:
            told = parse(arguments(name, instance_type.name), {})
            assert told.ignored == ()
            assert told.settings.weights.startswith("hf://")


def test_an_old_card_is_told_a_type_that_it_has() -> None:
    assert "--dtype=float16" in arguments("phi-3-mini-4k-instruct", "Standard_NC6s_v3")
    assert "--dtype=bfloat16" in arguments("phi-3-mini-4k-instruct", "Standard_NC24ads_A100_v4")


def test_a_workspace_with_an_image_of_its_own_keeps_the_published_form() -> None:
    options = {"image": "r.example.com/mine:1"}
    assert arguments("mistral-7b", "Standard_NC24ads_A100_v4", accessMode="private", presetOptions=options) == ()
    assert for_image_of_its_own(OURS.presets["mistral-7b"], "mine") == CATALOG.presets["mistral-7b"]
    assert for_image_of_its_own(OURS.presets["mistral-7b"], "") == OURS.presets["mistral-7b"]
