"""Users add presets and instance types at run time; a broken entry is named and costs nothing else."""

from __future__ import annotations

import pytest

from kaito_controller.catalog.extension import extend
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.model import GIB
from kaito_controller.catalog.plain_yaml import PlainYamlError, load_plain_yaml
from kaito_controller.catalog.units import parse_duration, parse_size

PRESET = """
family: mine
image: kaito-mine
tag: "1"
inference: {gpus: 1, gpuMemory: 20Gi, disk: 80Gi, readinessTimeout: 15m}
launcher: {command: [accelerate, launch], runArgs: {torch_dtype: auto, trust_remote_code: ""}}
"""
BILLION_LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


def test_an_added_preset_and_type_are_known_and_the_built_in_catalogue_is_untouched() -> None:
    data = {
        "preset.mine.yaml": PRESET,
        "sku.Big_1.yaml": "{gpus: 2, gpuMemory: 48Gi, gpuModel: NVIDIA L40S}",
        "presets": "flat",
    }

    catalog, errors = extend(load_catalog(), data)

    assert errors == []
    assert catalog.presets["mine"].inference.readiness_timeout_s == 900
    assert catalog.presets["mine"].launcher.run_args["trust_remote_code"] == ""
    assert catalog.instance_types["Big_1"].total_gpu_memory_bytes == 96 * GIB
    assert "mine" not in load_catalog().presets


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        ("preset.x.yaml", "[]", "preset.x.yaml: must be a mapping"),
        ("preset.x.yaml", "a: [", "preset.x.yaml: is no valid YAML"),
        ("preset.x.yaml", BILLION_LAUGHS, "uses a YAML alias"),
        ("preset.x.yaml", "[" * 5000, "preset.x.yaml: is "),
        ("preset.x.yaml", PRESET + "name: y\n", 'name: must be "x", as in the key'),
        (
            "preset.x.yaml",
            PRESET.replace("20Gi", "400"),
            'inference.gpuMemory: "400" is no size; write a whole number with Ki, Mi, Gi',
        ),
        ("preset.x.yaml", PRESET.replace("15m", "900"), 'inference.readinessTimeout: "900" is no duration'),
        ("preset.x.yaml", PRESET.replace("tag:", "tags:"), "tags: Extra inputs are not permitted"),
        ("preset.x.yaml", PRESET.replace('tag: "1"', ""), "a public preset needs image and tag"),
        ("preset.x.yaml", PRESET.replace("gpus: 1", "gpus: 2") + "distributed: true\n", "worldSize must equal gpus"),
        ("preset.X.yaml", PRESET, "name: String should match pattern"),
        ("sku.x.yaml", "{gpus: 0, gpuMemory: 1Gi, gpuModel: ab}", "gpus: Input should be greater than or equal to 1"),
        ("sku.x.yaml", "{gpus: 1, gpuMemory: 0Gi, gpuModel: ab}", "gpuMemory must be more than 0"),
        ("sku.x.yaml", "x" * 70_000, "are too many for one entry"),
    ],
)
def test_a_broken_entry_is_named_and_left_out(key: str, text: str, sentence: str) -> None:
    catalog, errors = extend(load_catalog(), {key: text, "preset.mine.yaml": PRESET})

    assert len(errors) == 1
    assert sentence in errors[0]
    assert len(errors[0]) <= 1000
    assert "mine" in catalog.presets
    assert "x" not in catalog.presets
    assert "x" not in catalog.instance_types


def test_plain_yaml_reads_scalars_lists_and_maps() -> None:
    assert load_plain_yaml("a: [1, b, true]") == {"a": [1, "b", True]}
    with pytest.raises(PlainYamlError, match="no valid YAML"):
        load_plain_yaml("a: !!python/object:os.system x")


def test_sizes_and_durations_need_a_unit() -> None:
    assert parse_size("16Gi") == 16 * GIB
    assert parse_duration("30m") == 1800
    for text in ("400", "16GB", "", "1.5Gi", "-1Gi"):
        with pytest.raises(ValueError, match="is no size"):
            parse_size(text)
