"""Whether a tuning run as its ConfigMap describes it is held back before a node is ordered."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from kaito_controller.api import reasons
from kaito_controller.api.types import Workspace
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.workspace.decide.preflight import ResolvedWorkspace, examine


def asked(preset: str, instance_type: str, *, running: bool = False, **arguments: Any) -> ResolvedWorkspace:
    workspace = {
        "metadata": {"name": "w", "namespace": "default", "uid": "1"},
        "resource": {"instanceType": instance_type, "labelSelector": {"matchLabels": {"a": "b"}}},
        "tuning": {
            "preset": {"name": preset},
            "method": "qlora",
            "input": {"urls": ["https://example.com/a.parquet"]},
            "output": {"image": "r.io/a:1", "imagePushSecret": "s"},
        },
    }
    sections = {"QuantizationConfig": {"load_in_4bit": True}, "TrainingArguments": arguments}
    config = {"data": {"training_config.yaml": yaml.safe_dump({"training_config": sections})}}
    return examine(Workspace.from_object(workspace), load_catalog(), config, running=running)


def test_the_published_quickstart_passes() -> None:
    assert asked("phi-3-mini-128k-instruct", "Standard_NC6s_v3").preflight is None


def test_a_run_that_is_too_long_for_the_card_is_held_back_with_what_to_change() -> None:
    preflight = asked("phi-3-mini-128k-instruct", "Standard_NC6s_v3", max_length=131_072).preflight

    assert preflight is not None
    assert preflight.reason == reasons.MODEL_DOES_NOT_FIT
    assert "examples of 131072 tokens needs at least" in preflight.message
    assert "max_length, gradient_checkpointing: true" in preflight.message


def test_a_run_that_was_begun_is_not_stopped() -> None:
    assert asked("phi-3-mini-128k-instruct", "Standard_NC6s_v3", running=True, max_length=131_072).preflight is None


@pytest.mark.parametrize("value", ["many", -1, None, True])
def test_what_sizing_cannot_read_is_left_to_the_trainer(value: Any) -> None:
    assert asked("phi-3-mini-128k-instruct", "Standard_NC6s_v3", max_length=value).preflight is None
