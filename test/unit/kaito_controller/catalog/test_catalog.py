"""Every entry of the built-in catalogue is consistent, and says what the published tables say."""

from __future__ import annotations

import pytest

from kaito_controller.catalog.data_files import CatalogError, read_instance_types, read_presets
from kaito_controller.catalog.loader import load_cards, load_catalog
from kaito_controller.catalog.model import GIB, InstanceType, Preset
from kaito_controller.catalog.sizing import Fitness, candidates, inference_need, node_counts, offers, tuning_need

CATALOG = load_catalog()
PRESETS = sorted(CATALOG.presets.values(), key=lambda preset: preset.name)
TYPES = sorted(CATALOG.instance_types.values(), key=lambda instance_type: instance_type.name)


def test_all_seventeen_published_presets_are_there() -> None:
    assert {p.name for p in PRESETS if p.runtime == "image"} == {
        *(
            "falcon-7b",
            "falcon-7b-instruct",
            "falcon-40b",
            "falcon-40b-instruct",
            "mistral-7b",
            "mistral-7b-instruct",
            "phi-2",
        ),
        *(
            "phi-3-mini-4k-instruct",
            "phi-3-mini-128k-instruct",
            "phi-3-medium-4k-instruct",
            "phi-3-medium-128k-instruct",
        ),
        *("llama-2-7b", "llama-2-13b", "llama-2-70b", "llama-2-7b-chat", "llama-2-13b-chat", "llama-2-70b-chat"),
    }


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_consistent(preset: Preset) -> None:
    model = preset.inference

    assert preset.source
    assert (preset.access == "public") == bool(preset.image_name and preset.tag)
    assert model.total_gpu_memory_bytes >= model.gpu_count * model.per_gpu_memory_bytes
    assert model.disk_bytes > model.total_gpu_memory_bytes or preset.runtime == "image"
    assert preset.distributed == (model.world_size > 1)
    assert preset.launcher.command
    assert preset.launcher.program == ("inference_api.py" if preset.runtime == "image" else "")


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_some_current_azure_type_serves_and_tunes_a_preset(preset: Preset) -> None:
    if preset.is_sized_by_shape:
        assert candidates(CATALOG, preset, cloud="azure")[0].plan.fitness is Fitness.FITS
        return
    needs = [inference_need(preset, count) for count in node_counts(preset) or (1,)]
    needs += [tuning_need(preset, method) for method in (preset.tuning.methods if preset.tuning else ())]

    for need in needs:
        assert need is not None
        assert any(t.cloud == "azure" and t.current and offers(t, need) for t in TYPES), need


def test_the_presets_that_can_be_tuned_are_those_of_the_reference() -> None:
    assert {preset.name for preset in PRESETS if preset.tuning} == {
        *("falcon-7b", "falcon-40b", "mistral-7b", "phi-2", "phi-3-mini-4k-instruct", "phi-3-mini-128k-instruct"),
        *("phi-3-medium-4k-instruct", "phi-3-medium-128k-instruct"),
    }
    assert all(set(preset.tuning.methods) == {"lora", "qlora"} for preset in PRESETS if preset.tuning)


@pytest.mark.parametrize("instance_type", TYPES, ids=lambda instance_type: instance_type.name)
def test_an_instance_type_is_consistent(instance_type: InstanceType) -> None:
    assert instance_type.source
    assert instance_type.gpu_memory_bytes % GIB == 0
    assert 1 <= instance_type.gpus <= 16
    assert (instance_type.cloud == "azure") == instance_type.name.startswith("Standard_N")
    makes = {"nvidia": "NVIDIA", "amd": "AMD", "neuron": "AWS"}
    assert instance_type.gpu_model.startswith(makes[instance_type.accelerator])


@pytest.mark.parametrize(
    ("name", "gpus", "total_gib"),
    [
        ("Standard_ND96amsr_A100_v4", 8, 640),
        ("Standard_ND96asr_v4", 8, 320),
        ("Standard_ND96asr_A100_v4", 8, 320),
        ("Standard_NC6s_v3", 1, 16),
        ("Standard_NC12s_v3", 2, 32),
        ("Standard_NC80adis_H100_v5", 2, 188),
        ("Standard_ND96isr_H200_v5", 8, 1128),
        ("Standard_NV36ads_A10_v5", 1, 24),
        ("g3.16xlarge", 4, 32),
        ("p5.48xlarge", 8, 640),
    ],
)
def test_a_corrected_or_current_type_has_its_true_size(name: str, gpus: int, total_gib: int) -> None:
    instance_type = CATALOG.instance_types[name]

    assert (instance_type.gpus, instance_type.total_gpu_memory_bytes // GIB) == (gpus, total_gib)


def test_the_tables_are_complete() -> None:
    clouds = [instance_type.cloud for instance_type in TYPES]

    assert clouds.count("azure") >= 42
    assert clouds.count("aws") == 57


def test_a_data_file_with_a_fault_is_named_with_entry_and_field() -> None:
    with pytest.raises(CatalogError, match=r"x\.yaml\[0\]: .*inference: Field required"):
        read_presets("- {name: a, family: b, source: ccc, launcher: {command: [x]}}", "x.yaml")
    with pytest.raises(CatalogError, match=r"x\.yaml\[0\]: source must be one of s"):
        read_instance_types(
            "{cloud: azure, sources: {s: somewhere}, instanceTypes: [{name: a, source: t}]}", "x.yaml", load_cards()
        )
