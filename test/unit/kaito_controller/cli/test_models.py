"""`kubectl kaito models`, and what the program says of itself."""

from __future__ import annotations

import json

import pytest

from kaito_controller.catalog.loader import load_catalog
from kaito_controller.cli.__main__ import main


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    assert main(["models", *words, "-o", "json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_every_model_of_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert [model["name"] for model in listed(capsys)] == sorted(load_catalog().presets)


@pytest.mark.parametrize("word", ["Qwen/Qwen3-8B", "qwen3-8b", "APACHE"])
def test_a_word_is_looked_for_in_name_repository_and_licence(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys, word)

    assert "qwen3-8b" in {model["name"] for model in found}
    assert len(found) < len(load_catalog().presets)


def test_the_table_names_licence_and_tuning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    page = capsys.readouterr().out

    assert max(map(len, page.splitlines())) <= 80
    assert "llama3.3 (gated)" in page
    assert "lora qlora" in page


def test_a_word_that_nothing_has_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "gpt-17"]) == 2
    assert '"gpt-17": no model has it' in capsys.readouterr().err


def test_without_a_command_it_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "plan" in capsys.readouterr().err.split("Commands:")[1]
