"""The demo with a real model, as far as it can be told without the model: `make test-model` runs it whole."""

from __future__ import annotations

import json

from hack.demo.model import lesson
from hack.demo.model.story import IMAGE, SECRET, TAUGHT, TRAINER
from kaito_controller.catalog.extension import extend
from kaito_controller.catalog.loader import load_catalog


def test_its_entry_of_the_catalogue_makes_the_small_model_one_that_can_be_tuned() -> None:
    catalog, problems = extend(load_catalog(), json.loads(lesson.catalogue())["data"])
    tuning = catalog.presets[lesson.MODEL].tuning
    assert problems == []
    assert tuning is not None
    assert "lora" in tuning.methods


def test_its_quickstarts_are_the_published_ones_without_a_placeholder() -> None:
    made = [
        lesson.quickstart("inference-phi-3-mini.yaml"),
        lesson.tuning("127.0.0.1:1", IMAGE, "127.0.0.1:1/lesson:1", SECRET),
        lesson.adapter("127.0.0.1:1", IMAGE),
    ]
    assert [manifest["kind"] for manifest in made] == ["Workspace"] * 3
    assert [manifest["metadata"]["name"] for manifest in made[1:]] == [TRAINER, TAUGHT]
    assert not any(word in json.dumps(made) for word in ("HERE", "phi"))
    assert made[1]["tuning"]["output"]["image"] == made[2]["inference"]["adapters"][0]["source"]["image"]
