"""Sizing answers in bytes, for each node, with the arithmetic shown."""

from __future__ import annotations

import itertools

import pytest

from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.model import GIB, InstanceType, Preset
from kaito_controller.catalog.sizing import Fit, TuningSettings, fit_inference, fit_tuning, node_counts

CATALOG = load_catalog()
PUBLISHED = [p for p in CATALOG.presets.values() if not p.is_sized_by_shape]
"""KAITO's own, whose numbers are KAITO's."""


def serve(preset: str, instance_type: str, count: int = 1) -> Fit:
    return fit_inference(CATALOG, CATALOG.presets[preset], CATALOG.instance_types[instance_type], count)


@pytest.mark.parametrize(
    ("preset", "instance_type", "count", "gpus_per_pod"),
    [
        ("phi-3-mini-4k-instruct", "Standard_NC6s_v3", 1, 1),
        ("falcon-7b", "Standard_NC12s_v3", 1, 1),
        ("mistral-7b-instruct", "Standard_NC6s_v3", 1, 1),  # refused by KAITO 0.3.0, which rounded 16Gi up to 18 GB
        ("llama-2-13b", "Standard_NC6s_v3", 2, 1),
        ("llama-2-13b", "Standard_NC12s_v3", 1, 2),
        ("llama-2-70b", "Standard_NC96ads_A100_v4", 2, 4),
        ("falcon-40b", "Standard_NC48ads_A100_v4", 1, 2),
        ("falcon-40b", "Standard_ND40rs_v2", 1, 3),  # 90Gi need three GPUs of 32Gi
        ("falcon-7b", "Standard_NV12", 1, 2),  # 14Gi need two GPUs of 8Gi
    ],
)
def test_a_preset_that_fits_asks_for_the_gpus_that_hold_it(
    preset: str, instance_type: str, count: int, gpus_per_pod: int
) -> None:
    fit = serve(preset, instance_type, count)

    assert fit.ok, fit.message
    assert fit.gpus_per_pod == gpus_per_pod
    assert fit.nodes == count
    assert fit.disk_bytes == CATALOG.presets[preset].inference.disk_bytes


def test_more_nodes_do_not_help_a_preset_that_is_not_distributed() -> None:
    fit = serve("falcon-40b", "Standard_NC24ads_A100_v4", 4)

    assert not fit.ok
    assert fit.gpus_per_pod == 0
    assert "Standard_NC24ads_A100_v4 has 1 NVIDIA A100 GPU of 80Gi" in fit.message
    assert "at least 2 GPUs and 90Gi of GPU memory on each node" in fit.message
    assert fit.suggestions[0] == "Standard_NC48ads_A100_v4"


def test_four_small_gpus_that_kaito_0_3_0_counted_twice_do_not_fit() -> None:
    assert not serve("falcon-40b", "Standard_NC24").ok


def test_suggestions_are_of_the_same_cloud_and_really_fit() -> None:
    fit = serve("falcon-40b", "g4dn.xlarge")

    assert fit.suggestions
    for name in fit.suggestions:
        assert CATALOG.instance_types[name].cloud == "aws"
        assert serve("falcon-40b", name).ok


def test_processes_that_cannot_be_spread_evenly_are_refused_with_the_counts_that_work() -> None:
    fit = serve("llama-2-70b", "Standard_NC96ads_A100_v4", 3)

    assert not fit.ok
    assert "use 1, 2, 4 or 8 nodes" in fit.message


def test_gpus_of_another_make_are_refused() -> None:
    assert "presets run on NVIDIA GPUs only" in serve("phi-2", "g4ad.16xlarge").message


def test_the_published_qlora_quickstart_fits_and_a_large_lora_run_on_the_same_node_does_not() -> None:
    preset, node = CATALOG.presets["phi-3-mini-128k-instruct"], CATALOG.instance_types["Standard_NC6s_v3"]
    large = TuningSettings("lora", tokens=8192, batch=4, checkpointing=True)

    assert fit_tuning(CATALOG, preset, "qlora", node).ok
    assert fit_tuning(CATALOG, preset, "qlora", node).disk_bytes == 50 * GIB
    assert fit_tuning(CATALOG, preset, "lora", node, settings=TuningSettings("lora")).tight
    refused = fit_tuning(CATALOG, preset, "lora", node, settings=large)
    assert not refused.ok
    assert "with rank 8, batches of 4 and examples of 8192 tokens needs at least" in refused.message
    assert "TrainingArguments: max_length, per_device_train_batch_size" in refused.message
    assert len(refused.suggestions) == 3
    assert "USD/h" in refused.message
    assert not fit_tuning(CATALOG, preset, "qlora", node, 2).ok
    assert not fit_tuning(CATALOG, CATALOG.presets["llama-2-7b"], "qlora", node).ok


def _as_kaito_0_3_1(preset: Preset, node: InstanceType, count: int) -> bool:
    """The published rule, word for word: GPUs, floor of memory per GPU, and the total over all nodes."""
    model = preset.inference
    enough_gpus = count * node.gpus >= model.gpu_count
    enough_each = node.gpu_memory_bytes >= model.per_gpu_memory_bytes
    return enough_gpus and enough_each and count * node.total_gpu_memory_bytes >= model.total_gpu_memory_bytes


def test_verdicts_are_those_of_kaito_0_3_1_wherever_its_rule_makes_sense() -> None:
    """One node of NVIDIA GPUs, where each process has a GPU: the same verdict for every preset and type."""
    for preset, node in itertools.product(PUBLISHED, CATALOG.instance_types.values()):
        if node.accelerator == "nvidia":
            ours = fit_inference(CATALOG, preset, node, 1)
            assert ours.ok == _as_kaito_0_3_1(preset, node, 1), ours.message


def test_whatever_fits_here_also_fits_by_the_published_rule() -> None:
    for preset, node in itertools.product(PUBLISHED, CATALOG.instance_types.values()):
        for count in node_counts(preset) or (1, 2, 5):
            fit = fit_inference(CATALOG, preset, node, count)
            if fit.ok:
                assert _as_kaito_0_3_1(preset, node, count)
                assert fit.gpus_per_pod <= node.gpus
                assert fit.gpus_per_pod * node.gpu_memory_bytes * (count if preset.distributed else 1) >= (
                    preset.inference.total_gpu_memory_bytes
                )
